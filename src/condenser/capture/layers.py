"""Which layers to watch where nobody named them: found by running the network on an image."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from torch import Tensor, nn

from condenser.capture.conditions import evaluating
from condenser.capture.watching import watching
from condenser.errors import CondenserError

Pairs = tuple[list[str], list[str]]  # the student's layers, and the teacher's that belong to them

ACTIVATIONS = (nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.ELU, nn.GELU, nn.SiLU, nn.Hardswish)
RESIZING = (nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d)
TOKEN_STAGES = 4  # of a transformer, whose blocks all work at one resolution


class Call(NamedTuple):
    """One submodule at work."""

    name: str
    module: nn.Module
    input: Tensor
    output: Tensor


def stages_of(model: nn.Module, image: Tensor) -> list[str]:
    """The last layer at each resolution, from the image's side inwards.

    Where the network says which, in an attribute ``feature_layers``, these; where it has children
    ``layer1``, ``layer2``, … only they count, else its children and theirs. A network that ends in
    blocks of tokens (batch, tokens, width), as vision transformers do, has up to four of them as
    stages, evenly spaced, the last among them. One without maps larger than 1×1 has its hidden
    linear layers.

    Args:
        image: (batch, channels, height, width), of any values.
    """
    calls = calls_of(model, image)
    # Deeper modules may hold maps in a layout of their own (ConvNeXt's blocks).
    maps = [c for c in calls if is_map(c) and c.name.count(".") < 2]
    blocks, steps = _token_blocks(calls), range(1, TOKEN_STAGES + 1)
    order = {c.name: turn for turn, c in enumerate(calls)}
    if blocks and order[blocks[-1]] > max((order[c.name] for c in maps), default=-1):
        spaced = (blocks[max(len(blocks) * step // TOKEN_STAGES, 1) - 1] for step in steps)
        return list(dict.fromkeys(spaced))
    declared = getattr(model, "feature_layers", ())
    if told := [c.name for c in maps if c.name in declared]:
        return told
    layers = [c for c in maps if re.fullmatch(r"layer\d+", c.name)]
    # A later layer of the same size takes the place of an earlier one.
    last = {tuple(c.output.shape[2:]): c.name for c in layers or maps}
    if last:
        return list(last.values())
    linear = list(dict.fromkeys(c.name for c in calls if isinstance(c.module, nn.Linear)))
    if len(linear) < 2:
        raise CondenserError(f"{type(model).__name__} has no stages: name its layers")
    return linear[:-1]


def penultimate_of(model: nn.Module, image: Tensor | None = None) -> str:
    """What goes into the last linear layer, the classifier: of those that see ``image``."""
    linear = [name for name, module in model.named_modules() if isinstance(module, nn.Linear)]
    if image is not None:
        called = {call.name for call in calls_of(model, image)}
        linear = [name for name in linear if name in called]
    if not linear:
        raise CondenserError(f"{type(model).__name__} has no linear classifier: name its layers")
    return f"{linear[-1]}:input"


def preactivations_of(model: nn.Module, image: Tensor, stages: Sequence[str]) -> list[str]:
    """For each stage its values before the activation that ends it.

    A stage that ends without one (as in pre-activation networks) is taken after the batch norm
    that reads it, if one does, else as it is.
    """
    calls = calls_of(model, image)

    def before(stage: str) -> str:
        out = next(c.output for c in reversed(calls) if c.name == stage)
        ends = [c for c in calls if isinstance(c.module, ACTIVATIONS) and c.output is out]
        norms = [c for c in calls if isinstance(c.module, nn.BatchNorm2d) and c.input is out]
        return f"{ends[-1].name}:input" if ends else norms[0].name if norms else stage

    return [before(stage) for stage in stages]


def stage_pairs(student: nn.Module, teacher: nn.Module, image: Tensor) -> Pairs:
    """Stages of both, the deepest with the deepest; the shallow ones that are left over go."""
    ours, theirs = stages_of(student, image), stages_of(teacher, image)
    depth = min(len(ours), len(theirs))
    return ours[-depth:], theirs[-depth:]


def preactivation_pairs(student: nn.Module, teacher: nn.Module, image: Tensor) -> Pairs:
    """The same, before their activations."""
    ours, theirs = stage_pairs(student, teacher, image)
    return preactivations_of(student, image, ours), preactivations_of(teacher, image, theirs)


def middle_pair(student: nn.Module, teacher: nn.Module, image: Tensor) -> Pairs:
    """The pair of stages half-way."""
    ours, theirs = stage_pairs(student, teacher, image)
    return [ours[len(ours) // 2]], [theirs[len(theirs) // 2]]


def last_pair(student: nn.Module, teacher: nn.Module, image: Tensor) -> Pairs:
    """The deepest stages."""
    return stages_of(student, image)[-1:], stages_of(teacher, image)[-1:]


def penultimate_pair(student: nn.Module, teacher: nn.Module, image: Tensor) -> Pairs:
    """What goes into the classifiers."""
    return [penultimate_of(student, image)], [penultimate_of(teacher, image)]


def calls_of(model: nn.Module, image: Tensor) -> list[Call]:
    """Every submodule's call in a forward pass that leaves the network as it was."""
    calls: list[Call] = []

    def note(name: str, module: nn.Module, args: Any, output: Any) -> None:
        if args and isinstance(args[0], Tensor) and isinstance(output, Tensor):
            calls.append(Call(name, module, args[0], output))

    with evaluating(model), watching(model, [n for n, _ in model.named_modules() if n], note):
        model(image)
    return calls


def is_map(call: Call) -> bool:
    """Whether it gives a map (batch, channels, height, width) larger than 1×1."""
    shape = call.output.shape
    return len(shape) == 4 and min(shape[2:]) > 1 and not isinstance(call.module, RESIZING)


def _token_blocks(calls: list[Call]) -> list[str]:
    """The outermost row of modules of one kind that each turn tokens into as many of the width."""
    rows: dict[tuple[str, type], list[str]] = {}
    for call in calls:
        if call.output.dim() == 3 and call.output.shape == call.input.shape:
            parent = call.name.rpartition(".")[0]
            rows.setdefault((parent, type(call.module)), []).append(call.name)
    found = [row for row in rows.values() if len(row) > 1]
    return min(found, key=lambda row: (row[0].count("."), -len(row)), default=[])
