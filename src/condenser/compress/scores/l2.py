"""The energy of a weight."""

from __future__ import annotations

from torch import Tensor, nn

from condenser.compress.scores.base import Criterion


class L2(Criterion):
    """w². A group's score is its squared L2 norm, which ranks groups as the norm does; single
    weights rank as by magnitude.

    Source: He, Kang, Dong, Fu, Yang, "Soft Filter Pruning for Accelerating Deep Convolutional
    Neural Networks", 2018, https://arxiv.org/abs/1808.06866
    """

    def __call__(self, name: str, weight: nn.Parameter) -> Tensor:
        return weight.detach().square()
