"""Importance of channels read from the weights alone."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from condenser.compress.base import CalibrationData
from condenser.compress.channels.groups import IN, OUT, Group
from condenser.compress.channels.importance import (
    Importance,
    Parts,
    Scores,
    mean_of,
    per_channel,
    spread,
    weights_of,
)
from condenser.errors import ConfigError


class Norm(Importance):
    """‖w‖ of the filters that make a channel: (Σ |w|^p)^(1/p).

    Args:
        p: 1 or 2, or another power.
        readers: count the weights that read the channel too, as DepGraph does.
        relative: divide by the group's mean, so that groups of different fan-in can be compared.

    Source: Li et al., "Pruning Filters for Efficient ConvNets", 2017,
    https://arxiv.org/abs/1608.08710; readers and means: Fang et al., "DepGraph: Towards Any
    Structural Pruning", 2023, https://arxiv.org/abs/2301.12900
    """

    def __init__(self, p: float = 1, readers: bool = False, relative: bool = True) -> None:
        if p <= 0:
            raise ConfigError("cut.importance.p", p, "> 0")
        self.p, self.readers, self.relative = p, readers, relative

    def __call__(
        self, model: nn.Module, groups: list[Group], probe: CalibrationData | None
    ) -> Scores:
        scores = {group.name: self.powers(model, group) ** (1 / self.p) for group in groups}
        if self.relative:
            scores = {
                n: s / s.mean().clamp_min(torch.finfo(s.dtype).tiny) for n, s in scores.items()
            }
        return scores

    def powers(self, model: nn.Module, group: Group) -> Tensor:
        """(size,) Σ |w|^p."""
        sides = (OUT, IN) if self.readers else (OUT,)
        parts = (
            per_channel(group, part, spread(weight.detach().abs() ** self.p, part))
            for part, weight in weights_of(model, group, sides)
        )
        return sum(parts, torch.zeros(group.size))


class LAMP(Norm):
    """s²ᵢ / Σ {s²ⱼ: sⱼ ≥ sᵢ}: what a channel is of all that would be left in its group.

    The last channel of every group scores 1, so one threshold never empties a layer. The paper
    scores single weights; here sᵢ is a channel's l2 norm.

    Source: Lee et al., "Layer-adaptive Sparsity for the Magnitude-based Pruning", 2021,
    https://arxiv.org/abs/2010.07611
    """

    def __init__(self, readers: bool = False) -> None:
        super().__init__(p=2, readers=readers, relative=False)

    def __call__(
        self, model: nn.Module, groups: list[Group], probe: CalibrationData | None
    ) -> Scores:
        return {group.name: lamp(self.powers(model, group)) for group in groups}


def lamp(squares: Tensor) -> Tensor:
    """(n,) squared magnitudes → (n,) LAMP scores."""
    order = torch.argsort(squares, stable=True)
    ascending = squares[order]
    left = ascending.flip(0).cumsum(0).flip(0)
    scores = torch.empty_like(squares)
    scores[order] = ascending / left.clamp_min(torch.finfo(squares.dtype).tiny)
    return scores


class BatchNormScale(Importance):
    """Mean |γ| of the batch norms that a channel passes.

    Meant for networks trained with an l1 penalty on γ.

    Source: Liu et al., "Learning Efficient Convolutional Networks through Network Slimming", 2017,
    https://arxiv.org/abs/1708.06519
    """

    def __call__(
        self, model: nn.Module, groups: list[Group], probe: CalibrationData | None
    ) -> Scores:
        scores = {group.name: mean_of(group, self.scales(model, group)) for group in groups}
        bare = [name for name, score in scores.items() if score is None]
        if bare:
            allowed = f"a criterion that needs no batch norm ({', '.join(bare)} has none)"
            raise ConfigError(
                "cut.importance", "BatchNormScale", allowed, "or exclude these layers"
            )
        return {name: score for name, score in scores.items() if score is not None}

    def scales(self, model: nn.Module, group: Group) -> Parts:
        for part in group.slices:
            layer = model.get_submodule(part.layer)
            if isinstance(layer, nn.modules.batchnorm._BatchNorm) and layer.affine:
                yield part, layer.weight.detach().abs().cpu()[part.position]
