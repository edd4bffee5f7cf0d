"""Layer-adaptive magnitude."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from condenser.compress.scores.base import Criterion


class LAMP(Criterion):
    """w_u² / Σ_{v: |w_v| ≥ |w_u|} w_v² over the layer's weights v: how much of what would be left
    of the layer goes with this weight.

    A layer's largest weight scores 1, so that under one threshold for all layers none is emptied
    before all are down to one weight. Summed over groups it means nothing: it is for weights.

    Source: Lee, Park, Mo, Ahn, Shin, "Layer-adaptive Sparsity for the Magnitude-based Pruning",
    2021, https://arxiv.org/abs/2010.07611
    """

    def __call__(self, name: str, weight: nn.Parameter) -> Tensor:
        square = weight.detach().double().square().flatten()
        ranked, order = square.sort(stable=True)
        left = ranked.flip(0).cumsum(0).flip(0)  # from the small end it would lose the small ones
        scores = torch.empty_like(square).index_copy_(0, order, ranked / left)
        return scores.nan_to_num(0).view(weight.shape)
