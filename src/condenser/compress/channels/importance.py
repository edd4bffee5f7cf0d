"""How important a channel is: one score for each channel of each group, high = keep."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator

import torch
from torch import Tensor, nn

from condenser.compress.base import CalibrationData
from condenser.compress.channels.groups import OUT, Group, Slice

Scores = dict[str, Tensor]
Parts = Iterable[tuple[Slice, Tensor]]  # values (m,) at the places of slices


class Importance(ABC):
    """(model, groups, probe) → group name → (size,) scores."""

    @abstractmethod
    def __call__(
        self, model: nn.Module, groups: list[Group], probe: CalibrationData | None
    ) -> Scores: ...


class Random(Importance):
    """Drawn from U(0, 1): the control that every criterion must beat."""

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed

    def __call__(
        self, model: nn.Module, groups: list[Group], probe: CalibrationData | None
    ) -> Scores:
        generator = torch.Generator().manual_seed(self.seed)
        return {group.name: torch.rand(group.size, generator=generator) for group in groups}


def weights_of(
    model: nn.Module, group: Group, sides: tuple[str, ...]
) -> Iterator[tuple[Slice, nn.Parameter]]:
    """The weights of linear and convolution layers that a group's channels run through."""
    for part in group.slices:
        layer = model.get_submodule(part.layer)
        if part.side in sides and isinstance(layer, nn.Linear | nn.modules.conv._ConvNd):
            yield part, layer.get_parameter("weight")


def spread(weight: Tensor, part: Slice) -> Tensor:
    """(m,) sums of a weight-shaped tensor over all but the places of ``part``."""
    dim = 0 if part.side == OUT else 1
    rows = weight.movedim(dim, 0).flatten(1).sum(1)
    return rows.cpu()[part.position]


def per_channel(group: Group, part: Slice, values: Tensor) -> Tensor:
    """(m,) values at places → (size,) sums by channel."""
    return torch.zeros(group.size, dtype=values.dtype).index_add(0, part.channel, values)


def mean_of(group: Group, parts: Parts) -> Tensor | None:
    """(size,) mean over all places of each channel; None where there is none."""
    total, count = torch.zeros(group.size), torch.zeros(group.size)
    for part, values in parts:
        total += per_channel(group, part, values.float())
        count += per_channel(group, part, torch.ones_like(values))
    return total / count if bool((count > 0).all()) else None
