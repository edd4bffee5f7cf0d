"""From weights to channels: sums and means over a group's places in the layers around it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import torch
from torch import Tensor, nn

from condenser.compress.groups import OUT, Group, Slice

Scores = dict[str, Tensor]  # group name → (size,) scores, high = keep


def weights_of(
    model: nn.Module, group: Group, sides: tuple[str, ...]
) -> Iterator[tuple[Slice, nn.Parameter]]:
    """The weights of linear and convolution layers that a group's channels run through."""
    for part in group.slices:
        layer = model.get_submodule(part.layer)
        if part.side in sides and isinstance(layer, nn.Linear | nn.modules.conv._ConvNd):
            yield part, layer.get_parameter("weight")


def sums(
    model: nn.Module,
    group: Group,
    sides: tuple[str, ...],
    score: Callable[[str, nn.Parameter], Tensor],
) -> Tensor:
    """(size,) sums of the scores of the weights that make (and read) each channel."""
    total = torch.zeros(group.size)
    for part, weight in weights_of(model, group, sides):
        rows = score(part.layer, weight).movedim(0 if part.side == OUT else 1, 0)
        total = total + per_channel(group, part, rows.flatten(1).sum(1).cpu()[part.position])
    return total


def means(group: Group, parts: Iterable[tuple[Slice, Tensor]]) -> Tensor | None:
    """(size,) mean over all places of each channel, of (m,) values; None where there is none."""
    total, count = torch.zeros(group.size), torch.zeros(group.size)
    for part, values in parts:
        total += per_channel(group, part, values.float())
        count += per_channel(group, part, torch.ones_like(values))
    return total / count if bool((count > 0).all()) else None


def per_channel(group: Group, part: Slice, values: Tensor) -> Tensor:
    """(m,) values at places → (size,) sums by channel."""
    return torch.zeros(group.size, dtype=values.dtype).index_add(0, part.channel, values)
