"""Criteria for the channels of a group that a narrower network keeps."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from condenser.compress.groups import OUT, Group

Criterion = Callable[[nn.Module, Group, int], Tensor]


def norms(model: nn.Module, group: Group, power: int) -> Tensor:
    """(Σ|w|^p)^(1/p) over all parameters that belong to a channel: float64 (channels,)."""
    total = torch.zeros(group.size, dtype=torch.float64)
    for part in group.slices:
        dim = 0 if part.side == OUT else 1
        for parameter in model.get_submodule(part.layer).parameters(recurse=False):
            if parameter.dim() > dim:
                rows = parameter.detach().cpu().double().movedim(dim, 0)
                sums = rows.reshape(len(rows), -1).abs().pow(power).sum(1)
                total.index_add_(0, part.channel, sums[part.position])
    return total.pow(1 / power)


def strongest(model: nn.Module, group: Group, count: int, power: int) -> Tensor:
    """The ``count`` channels of largest norm; ties go to the earlier one."""
    return norms(model, group, power).sort(descending=True, stable=True).indices[:count]


def even(model: nn.Module, group: Group, count: int) -> Tensor:
    """``evenly`` over the group's channels, regardless of weights."""
    return evenly(group.size, count)


def evenly(total: int, count: int) -> Tensor:
    """``count`` of 0 … total-1 in equal steps: i·total/count where that is whole, else up to the
    last one, round(i·(total-1)/(count-1)).

    Source: Xu et al., Initializing Models with Larger Ones, 2024,
    https://arxiv.org/abs/2311.18823, https://github.com/OscarXZQ/weight-selection
    """
    if total % count == 0:
        return torch.arange(count) * (total // count)
    return torch.linspace(0, total - 1, count).round().long()


CRITERIA: dict[str, Criterion] = {
    "l1": partial(strongest, power=1),
    "l2": partial(strongest, power=2),
    "even": even,
}
