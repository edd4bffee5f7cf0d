"""Layer-adaptive magnitude."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from condenser.compress.base import CalibrationData
from condenser.compress.groups import IN, OUT, Group
from condenser.compress.scores.base import Criterion
from condenser.compress.scores.norm import L2
from condenser.compress.scores.reduction import Scores, sums


class LAMP(Criterion):
    """w_u² / Σ_{v: |w_v| ≥ |w_u|} w_v² over the layer's weights v: how much of what would be left
    of the layer goes with this weight. Of channels the same, with a channel's l2 norm for |w|.

    A layer's largest weight scores 1, so that under one threshold for all layers none is emptied
    before all are down to one weight. Summed over groups of weights it means nothing.

    Args:
        readers: of a channel, count the weights that read it too.

    Source: Lee, Park, Mo, Ahn, Shin, "Layer-adaptive Sparsity for the Magnitude-based Pruning",
    2021, https://arxiv.org/abs/2010.07611
    """

    def __init__(self, readers: bool = False) -> None:
        self.sides = (OUT, IN) if readers else (OUT,)

    def __call__(self, name: str, weight: nn.Parameter) -> Tensor:
        return lamp(weight.detach().double().square().flatten()).view(weight.shape)

    def channels(
        self, model: nn.Module, groups: list[Group], calibration: CalibrationData | None
    ) -> Scores:
        return {group.name: lamp(sums(model, group, self.sides, L2())) for group in groups}


def lamp(squares: Tensor) -> Tensor:
    """(n,) squared magnitudes → (n,) scores."""
    ranked, order = squares.sort(stable=True)
    left = ranked.flip(0).cumsum(0).flip(0)  # from the small end it would lose the small ones
    scores = torch.empty_like(squares).index_copy_(0, order, ranked / left)
    return scores.nan_to_num(0)
