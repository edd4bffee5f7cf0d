"""Replayable cuts: channels that remain, attention whose heads can be cut, blocks removed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from condenser.compress.base import Operation
from condenser.compress.channels.attention import Attention
from condenser.compress.channels.projections import recount
from condenser.compress.groups import (
    IN,
    OUT,
    WIDTHS,
    Side,
    channels,
    depthwise,
    tensors_of,
)
from condenser.errors import DamagedError


@dataclass(frozen=True)
class KeptChannels(Operation):
    """Only these channels of these layers are left.

    ``layers``: layer name → {"out": places, "in": places}, in the numbering before the cut and
    written as ranges: "0-4,7" are 0, 1, 2, 3, 4 and 7. Replaying it on the weights from before
    the cut gives the cut network, weights included.
    """

    layers: Mapping[str, Mapping[str, str]]

    @classmethod
    def without(cls, model: nn.Module, gone: Mapping[Side, Tensor]) -> KeptChannels:
        """Keep all but ``gone``, the places by (layer, side)."""
        layers: dict[str, dict[str, str]] = {}
        for (name, side), places in gone.items():
            width = channels(model.get_submodule(name), side)
            lost = set(places.tolist())
            kept = [place for place in range(width) if place not in lost]
            layers.setdefault(name, {})[side] = as_ranges(kept)
        return cls(layers)

    def apply(self, model: nn.Module) -> None:
        for name, sides in self.layers.items():
            layer = model.get_submodule(name)
            for side in (OUT, IN):
                if side in sides:
                    narrow(name, layer, side, from_ranges(sides[side]))
        recount(model, iter(self.layers))


def narrow(name: str, layer: nn.Module, side: str, kept: list[int]) -> None:
    """Keep only these places of one dimension, and mend what the layer knows of its shape."""
    width = channels(layer, side)
    if not kept or kept[-1] >= width:
        raise DamagedError(f"channels {as_ranges(kept)} of {name}, which has {width}")
    per_channel = depthwise(layer)
    for holder, key, tensor, dim in list(tensors_of(layer, side)):
        part = tensor.detach().index_select(dim, torch.tensor(kept, device=tensor.device))
        trained = isinstance(tensor, nn.Parameter)
        holder[key] = nn.Parameter(part, tensor.requires_grad) if trained else part
    names = next(names for kind, names in WIDTHS.items() if isinstance(layer, kind))
    setattr(layer, names[side], len(kept))
    if per_channel:
        layer.in_channels = layer.groups = len(kept)  # type: ignore[assignment]


@dataclass(frozen=True)
class OpenAttention(Operation):
    """These nn.MultiheadAttention layers become two linear layers with attention between them.

    torch's own takes the width of its heads from the width of the input, so a head cannot leave.
    """

    layers: Sequence[str]

    def apply(self, model: nn.Module) -> None:
        for name in self.layers:
            closed = model.get_submodule(name)
            assert isinstance(closed, nn.MultiheadAttention)
            model.set_submodule(name, Attention.of(closed))


@dataclass(frozen=True)
class RemovedBlocks(Operation):
    """Blocks that are gone. Of each, the named children remain, one after the other, or nothing.

    ``remains``: block name → names of its children: ``[]`` makes it the identity,
    ``["downsample", "relu2"]`` leaves its shortcut.
    """

    remains: Mapping[str, Sequence[str]]

    def apply(self, model: nn.Module) -> None:
        for name, children in self.remains.items():
            model.set_submodule(name, remainder(model.get_submodule(name), children))


def remainder(block: nn.Module, children: Sequence[str]) -> nn.Module:
    """What is left of a block; children keep their names, and so do their weights."""
    if not children:
        return nn.Identity()
    left = nn.Sequential()
    for child in children:
        left.add_module(child, block.get_submodule(child))
    return left


def as_ranges(places: Iterable[int]) -> str:
    """Ascending whole numbers as text: [0, 1, 2, 5] → "0-2,5"."""
    order = list(places)
    if not order:
        return ""
    breaks = [i for i, (a, b) in enumerate(pairwise(order), start=1) if b != a + 1]
    edges = [0, *breaks, len(order)]
    runs = ((order[a], order[b - 1]) for a, b in pairwise(edges))
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in runs)


def from_ranges(text: str) -> list[int]:
    """The inverse of ``as_ranges``. Raises DamagedError for any other text."""
    places: list[int] = []
    try:
        for run in filter(None, text.split(",")):
            first, _, last = run.partition("-")
            places.extend(range(int(first), int(last or first) + 1))
    except ValueError as error:
        raise DamagedError(f"'{text}' is no list of channels such as 0-4,7") from error
    if places != sorted(set(places)):
        raise DamagedError(f"'{text}' is no ascending list of channels")
    return places
