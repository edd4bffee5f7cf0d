"""Select the slices of a wide network's tensors that fit a narrow one, and cut them out."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import cache, partial

import torch
from torch import Tensor, nn

from condenser.compress.groups import OUT, Group
from condenser.inherit.base import layer_of
from condenser.inherit.criteria import Criterion, evenly

Shapes = Mapping[str, torch.Size]  # by tensor name
Spot = tuple[str, int, Tensor, Tensor]  # tensor name, dimension, places in it, their channels
Kept = dict[tuple[str, int], Tensor]  # (tensor name, dimension) → bool (its size,)


def keep(model: nn.Module, groups: Sequence[Group], shapes: Shapes, criterion: Criterion) -> Kept:
    """The positions of the channels that ``criterion`` chooses, as many as ``shapes`` allows.

    Where the narrow network gives a group's tensors different widths, each has its own best
    channels. A dimension that its channels cannot fill does not appear.
    """
    sizes = {n: t.shape for n, t in model.state_dict().items() if n in shapes}
    tensors = defaultdict(list)
    for name in sizes:
        tensors[layer_of(name)].append(name)
    kept: Kept = {}
    for group in groups:
        choose = cache(partial(criterion, model, group))
        spots = [
            (name, dim, part.position, part.channel)
            for part in group.slices
            for dim in [0 if part.side == OUT else 1]
            for name in tensors[part.layer]
            if len(sizes[name]) > dim
        ]
        for spot, count in zip(spots, counts(spots, group.size, sizes, shapes), strict=True):
            name, dim, place, channel = spot
            if count:
                mask = kept.setdefault((name, dim), torch.zeros(sizes[name][dim]).bool())
                mask[place[torch.isin(channel, choose(count))]] = True
    return kept


def counts(spots: Sequence[Spot], size: int, sizes: Shapes, shapes: Shapes) -> list[int]:
    """How many of a group's channels fit at each spot.

    Where they are only a part of a dimension, of a concatenation, as many as at the first spot
    that they have for themselves.
    """
    alone = [len(place) == sizes[name][dim] for name, dim, place, _ in spots]
    rooms = [shapes[name][dim] * size // sizes[name][dim] for name, dim, *_ in spots]
    usual = next((room for room, whole in zip(rooms, alone, strict=True) if whole), 0)
    return [room if whole else usual for room, whole in zip(rooms, alone, strict=True)]


def keep_evenly(model: nn.Module, shapes: Shapes) -> Kept:
    """Each dimension separately, evenly spaced, so that equal widths keep equal positions."""
    kept: Kept = {}
    for name, tensor in model.state_dict().items():
        for dim, (total, room) in enumerate(zip(tensor.shape, shapes.get(name, ()), strict=False)):
            if room <= total:
                kept[name, dim] = torch.zeros(total).bool()
                kept[name, dim][evenly(total, room)] = True
    return kept


def cut(state: Mapping[str, Tensor], kept: Kept) -> dict[str, Tensor]:
    """Slice every dimension to its kept positions."""
    narrow = dict(state)
    for (name, dim), mask in kept.items():
        index = mask.nonzero().squeeze(1).to(state[name].device)
        narrow[name] = narrow[name].index_select(dim, index)
    return narrow


def rescaled(model: nn.Module, narrow: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """w·√(fan_in / fan_in left) for the weights of convolutions and linear layers.

    Sums over fewer inputs keep their variance, as far as terms are independent.
    """
    scaled = dict(narrow)
    for name, layer in model.named_modules():
        weight = f"{name}.weight"
        if isinstance(layer, nn.modules.conv._ConvNd | nn.Linear) and weight in scaled:
            ratio = layer.weight[0].numel() / narrow[weight][0].numel()
            scaled[weight] = narrow[weight] * math.sqrt(ratio)
    return scaled
