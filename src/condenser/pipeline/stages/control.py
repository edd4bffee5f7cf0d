"""Controls: what a smaller network must beat, made beside a compression when controls ask for it.

random: the same amount of every layer goes, drawn by lot.
scratch: the same small network, from fresh weights, for as many epochs as its line took.
compute: the same, for as many multiply-accumulates as its line took.
dense: the network that was compressed, trained on for as many epochs, whole.

The small network from scratch for equal epochs or equal compute: Liu, Sun, Zhou, Huang, Darrell,
"Rethinking the Value of Network Pruning", ICLR 2019, https://arxiv.org/abs/1810.05270
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from condenser.errors import ConfigError
from condenser.pipeline.stages.base import Given, Workbench
from condenser.pipeline.stages.compression import CompressionStage
from condenser.pipeline.stages.training import TrainingStage

if TYPE_CHECKING:
    from torch import nn

    from condenser.checkpoint.model_spec import Blueprint
    from condenser.compress import Compression
    from condenser.store import Entry
    from condenser.training import Plan

MASKED, REBUILT, CODED = ("prune",), ("cut", "merge", "factorize"), ("share", "quantize")


class Control(TrainingStage):
    """Trains beside ``of`` by the same plan and objective, but for what it is the control of.

    Class attributes:
        kind: what ``controls`` calls it.
        fits: the stages that it is a control of.
    """

    word: ClassVar[str] = "control"
    kind: ClassVar[str]
    fits: ClassVar[tuple[str, ...]]

    def __init__(self, of: CompressionStage, position: int) -> None:
        super().__init__(of.config, position, of.teachers, of.chain, reference=of)
        self.of = of

    @property
    def settings(self) -> Mapping[str, Any]:
        return self.of.settings

    @property
    def objective(self) -> Mapping[str, Any]:
        return self.of.objective

    @property
    def label(self) -> str:
        return f"{self.of.label}-{self.kind}"

    def ingredients(self) -> dict[str, Any]:
        return super().ingredients() | {"control": self.kind}

    def described(self) -> dict[str, Any]:
        return self.of.described() | {"control/kind": self.kind, "control/of": self.of.word}


class Random(Control):
    kind: ClassVar[str] = "random"
    fits: ClassVar[tuple[str, ...]] = (*MASKED, "cut", "merge")
    takes_model: ClassVar[bool] = True

    def check(self, bench: Workbench) -> None:
        from condenser.compress import Compression

        super().check(bench)
        assert self.of.compression is not None
        kind = type(bench.build(self.of.compression))
        if kind.by_lot is Compression.by_lot:
            allowed = f"controls without it: {kind.__name__} takes nothing that could be drawn"
            raise ConfigError("controls", self.kind, allowed, "as in controls=[scratch,dense]")

    def compressor(self, bench: Workbench, given: Given) -> Compression | None:
        assert given.source is not None
        assert given.reference is not None
        config = self.of.compression
        assert config is not None
        before, _ = given.source.load(bench.trusted)
        after, made = given.reference.load(bench.trusted)
        operations = after.operations[len(before.operations) :]
        return bench.build(config).by_lot(made, operations, self.seed)


class Dense(Control):
    kind: ClassVar[str] = "dense"
    fits: ClassVar[tuple[str, ...]] = (*MASKED, *REBUILT, *CODED)
    takes_model: ClassVar[bool] = True

    def __init__(self, of: CompressionStage, position: int) -> None:
        super().__init__(of, position)
        self.reference = None  # it is the same whatever becomes of the other

    def described(self) -> dict[str, Any]:
        return {"control/kind": self.kind, "control/of": self.of.word}


class Scratch(Control):
    kind: ClassVar[str] = "scratch"
    fits: ClassVar[tuple[str, ...]] = (*MASKED, *REBUILT)

    @property
    def architecture(self) -> Mapping[str, Any] | None:
        return self.chain[0].architecture

    def start(self, bench: Workbench, given: Given) -> tuple[Blueprint, nn.Module]:
        assert given.reference is not None
        blueprint, made = given.reference.load(bench.trusted)
        return blueprint, afresh(blueprint, made, bench)

    def plan(self, bench: Workbench, given: Given | None = None) -> Plan:
        plan = super().plan(bench)
        return plan if given is None else replace(plan, epochs=self.epochs(given))

    def epochs(self, given: Given) -> int:
        """Of all stages that led to the small network."""
        assert given.reference is not None
        return sum(epochs(entry) for entry in (*given.line, given.reference))


class Compute(Scratch):
    kind: ClassVar[str] = "compute"
    fits: ClassVar[tuple[str, ...]] = REBUILT  # masks and codebooks save no multiply-accumulates

    def epochs(self, given: Given) -> int:
        assert given.reference is not None
        spent = sum(
            epochs(entry) * entry.facts["compute/macs"] for entry in (*given.line, given.reference)
        )
        return round(spent / given.reference.facts["compute/macs"])


def epochs(entry: Entry) -> int:
    return int(entry.facts.get("cost/epochs") or 0)


def afresh(blueprint: Blueprint, made: nn.Module, bench: Workbench) -> nn.Module:
    """A network of the shape and with the zeros of ``made``, its weights drawn anew.

    Layers that a compression gave another shape draw theirs for that shape.
    """
    import torch

    from condenser.compress import Sparse

    whole = replace(blueprint, operations=()).build(bench.trusted).state_dict()
    model = blueprint.build(bench.trusted)
    for name, layer in model.named_modules():
        own = {f"{name}.{key}": p for key, p in layer.named_parameters(recurse=False)}
        changed = any(key not in whole or whole[key].shape != p.shape for key, p in own.items())
        if changed and hasattr(layer, "reset_parameters"):
            layer.reset_parameters()
    weights = dict(made.named_parameters())
    pruned = [op.layers for op in blueprint.operations if isinstance(op, Sparse)]
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if any(name == f"{layer}.weight" for layers in pruned for layer in layers):
                weight.mul_(weights[name] != 0)
    return model


def controls(stages: Sequence[Any], asked: bool | Sequence[str]) -> list[Control]:
    """The controls of every compression among ``stages``, in its order, numbered on from them."""
    wanted = [
        (stage, kind)
        for stage in stages
        if isinstance(stage, CompressionStage)
        for kind in (Random, Scratch, Compute, Dense)
        if stage.word in kind.fits and asked and (asked is True or kind.kind in asked)
        if kind is not Dense or stage.settings["optim"]["epochs"]
    ]
    return [kind(stage, len(stages) + number) for number, (stage, kind) in enumerate(wanted)]
