"""Which layer of a compressed network stands for which of the one before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from condenser.compress.base import Operation
from condenser.compress.channels.operations import KeptChannels, from_ranges
from condenser.compress.quantization.sites import LAYERS, running_order

Pair = tuple[str, list[int] | None]  # the layer before, and its outputs that are left (None: all)


def counterparts(
    model: nn.Module, before: nn.Module, operations: Sequence[Operation], images: Tensor
) -> dict[str, Pair]:
    """Layer → what it was made of, in the order they run; those whose outputs can be compared.

    A factorised layer's last factor gives what the layer gave. A layer that lost outputs stands
    beside those that are left; one whose outputs were merged stands beside none.
    """
    theirs = {n: m for n, m in before.named_modules() if isinstance(m, LAYERS)}
    names = [n for n, m in model.named_modules() if isinstance(m, LAYERS)]
    kept = remaining(operations)
    found: dict[str, Pair] = {}
    for name in running_order(model, names, images):
        own, source = model.get_submodule(name), origin(model, name, theirs)
        if source is None:
            continue
        outputs = kept.get(name)
        width = len(outputs) if outputs is not None else width_of(theirs[source])
        if width == width_of(own) and type(own).__name__ == type(theirs[source]).__name__:
            found[name] = source, outputs
    return found


def remaining(operations: Sequence[Operation]) -> dict[str, list[int]]:
    """Layer → the outputs that the last cut left of it."""
    cut = next((op for op in reversed(operations) if isinstance(op, KeptChannels)), None)
    sides: Mapping[str, Mapping[str, str]] = cut.layers if cut else {}
    return {name: from_ranges(side["out"]) for name, side in sides.items() if "out" in side}


def origin(model: nn.Module, name: str, theirs: Mapping[str, nn.Module]) -> str | None:
    """The layer before of this name, or the one whose last factor this is."""
    if name in theirs:
        return name
    parent, _, child = name.rpartition(".")
    if parent not in theirs:
        return None
    last = [n for n, m in model.get_submodule(parent).named_children() if isinstance(m, LAYERS)]
    return parent if last and last[-1] == child else None


def width_of(layer: Any) -> int:
    """Outputs of a layer."""
    return int(layer.weight.shape[0])
