"""Model specification: architecture, replayable operations, weights; no pickled code."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from condenser import models
from condenser.checkpoint.input_adapter import (
    InputAdapter as InputAdapter,  # where a stored model's operations may come from
)
from condenser.compress import Operation, prunable
from condenser.compress.base import Projection
from condenser.errors import CondenserError, ConfigError, DamagedError
from condenser.files import damaged, drafts, read_json, sha256, sha256_once
from condenser.models import weights
from condenser.tasks import Vocabulary

FORMAT = 1
LARGEST = 1 << 24  # limits on image side and classes
# raised by a spec that is invalid or does not match its weights
UNFIT = (
    *(ArithmeticError, AssertionError, AttributeError, LookupError, MemoryError),
    *(RuntimeError, TypeError, ValueError),
)
MODEL, WEIGHTS = "model.json", "weights.safetensors"


@dataclass(frozen=True)
class ModelSpec:
    """How to rebuild a network: its architecture and the operations applied to it.

    Attributes:
        architecture: ``_target_`` and its settings, as in conf/model.
        input_shape: (channels, height, width) of one image, or of another input.
        num_classes: length of the logits.
        operations: in order of application.
        normalisation: mean and std per channel of its inputs; None: they are token ids.
        vocabulary: of token ids, with what makes them of a text.
    """

    architecture: Mapping[str, Any]
    input_shape: tuple[int, ...]
    num_classes: int
    operations: tuple[Operation, ...] = ()
    normalisation: tuple[Sequence[float], Sequence[float]] | None = None
    vocabulary: Vocabulary | None = None

    def build(self, trusted: Sequence[str] = ()) -> nn.Module:
        """The network with its structure and freshly initialised weights."""
        size = self.vocabulary.size if self.vocabulary is not None else None
        model = models.build(self.architecture, self.input_shape, self.num_classes, trusted, size)
        for operation in self.operations:
            operation.apply(model)
        return model

    def then(self, operations: Sequence[Operation]) -> ModelSpec:
        """The spec after further operations."""
        return replace(self, operations=(*self.operations, *operations))

    def constraints(self, model: nn.Module) -> list[Projection]:
        """Call after each optimiser step: re-applies the structure created so far."""
        found = (operation.constraint(model) for operation in self.operations)
        return [project for project in found if project is not None]

    def to_json(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "architecture": dict(self.architecture),
            "input_shape": list(self.input_shape),
            "num_classes": self.num_classes,
            "normalisation": self.normalisation and [list(values) for values in self.normalisation],
            "operations": [operation.to_json() for operation in self.operations],
            **({"vocabulary": asdict(self.vocabulary)} if self.vocabulary is not None else {}),
        }

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> ModelSpec:
        """Raises one of ``BROKEN`` for anything that ``to_json`` does not produce."""
        ids = None if data.get("vocabulary") is None else Vocabulary(**data["vocabulary"])
        sizes = [*data["input_shape"], data["num_classes"], *([ids.size] if ids else [])]
        if not all(type(size) is int and 0 < size <= LARGEST for size in sizes):
            raise ValueError(f"input_shape, num_classes and vocabulary are {sizes}")
        if ids is not None and not isinstance(ids.tokenizer, str | None):
            raise ValueError("its tokenizer is no text")
        return ModelSpec(
            architecture=dict(data["architecture"]),
            input_shape=tuple(data["input_shape"]),
            num_classes=data["num_classes"],
            operations=tuple(Operation.from_json(o) for o in data["operations"]),
            normalisation=data.get("normalisation"),
            vocabulary=ids,
        )


def violations(
    source: ModelSpec, start: nn.Module, made: ModelSpec, end: nn.Module
) -> dict[str, str]:
    """Weight → the operation of ``source`` that ``end`` violates; empty if all hold.

    ``made`` goes on from ``source``; ``start`` is done anew what came after, in place.
    """
    for operation in made.operations[len(source.operations) :]:
        operation.apply(start)
    before, after = start.state_dict(), end.state_dict()
    return {
        name: type(operation).__name__
        for operation in source.operations
        for name in operation.violations(before, after)
    }


def rates(spec: ModelSpec, model: nn.Module, trusted: Sequence[str] = ()) -> dict[str, float]:
    """Layer of the architecture → fraction of its weights removed in ``model``.

    Zeros count as removed, like cut weights; for a replaced layer all weights below its name count,
    and a removed layer is removed whole.
    """
    whole = prunable(replace(spec, operations=()).build(trusted))
    left = prunable(model)

    def nonzero(layer: str) -> int:
        own = (w for name, w in left.items() if name == layer or name.startswith(f"{layer}."))
        return sum(int(w.count_nonzero()) for w in own)

    return {layer: 1 - nonzero(layer) / weight.numel() for layer, weight in whole.items()}


def described(spec: ModelSpec, model: nn.Module) -> dict[str, Any]:
    """The spec as JSON, with the state_dict versions of modules that declare one."""
    known = weights.versions(model)
    return spec.to_json() | ({"versions": known} if known else {})


def save(folder: Path, spec: ModelSpec, model: nn.Module) -> None:
    """Write ``model.json`` and ``weights.safetensors``; the json holds the weights' sha256.

    Raises:
        CondenserError: the network's state contains non-tensors.
    """
    state = weights.kept(model)
    for operation in reversed(spec.operations):
        state = operation.encode(state)
    with drafts(folder / WEIGHTS, folder / MODEL) as (tensors, described_in):
        save_file(state, tensors)
        digest = {"weights_sha256": sha256(tensors)}
        text = json.dumps({**described(spec, model), **digest}, indent=1)
        described_in.write_text(text + "\n", encoding="utf-8")


def load(folder: Path, trusted: Sequence[str] = ()) -> tuple[ModelSpec, nn.Module]:
    """Rebuild the saved network, bit for bit, in eval mode.

    Raises:
        DamagedError: a file is missing, cut, altered or of a later format.
    """
    data = read_json(folder / MODEL)
    if data.get("format") != FORMAT:
        raise DamagedError(f"{folder / MODEL}: format {data.get('format')}, this reads {FORMAT}")
    try:
        spec, digest = ModelSpec.from_json(data), data["weights_sha256"]
    except (KeyError, TypeError, ValueError, AttributeError, DamagedError) as error:
        raise DamagedError(f"{folder / MODEL} is damaged: {error}") from error
    if not (folder / WEIGHTS).is_file() or sha256_once(folder / WEIGHTS) != digest:
        raise damaged(folder / WEIGHTS)
    try:
        state = load_file(folder / WEIGHTS)
    except SafetensorError as error:
        raise damaged(folder / WEIGHTS) from error
    try:
        model = spec.build(trusted)
        for operation in spec.operations:
            state = operation.decode(state)
        weights.fill(model, state, data.get("versions", {}))
    except ConfigError as error:
        raise DamagedError(f"{folder / MODEL}: {error}") from error
    except (CondenserError, *UNFIT) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        what = f"{folder / MODEL} does not fit the weights beside it: {reason}"
        raise DamagedError(what) from error
    return spec, model.eval()
