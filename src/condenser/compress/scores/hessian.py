"""What the loss would change by, to second order."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from condenser.compress.scores.gradient import GradientMean


class Hessian(GradientMean):
    """½ w² H_ii, the second-order change of the loss if the weight were zero, with the diagonal of
    the empirical Fisher information E[g²] in the place of H.

    On calibration data g is the gradient of single samples, as Fisher's is. In training only the
    gradient of whole batches of B is there, whose square is about E[g²]/B + (E g)²: the same
    ranking where the mean gradient is small beside its noise.

    Args:
        images: of calibration, training images: one backward pass each.
        decay: of the steps' squared gradients, in [0, 1).

    Source: LeCun, Denker, Solla, "Optimal Brain Damage", 1989,
    https://proceedings.neurips.cc/paper/1989/hash/6c9882bbac1c7093bd25041881277658-Abstract.html
    """

    def __init__(self, images: int = 128, decay: float = 0.99) -> None:
        super().__init__(images, 1, decay)

    def terms(self, gradients: list[Tensor]) -> list[Tensor]:
        return list(torch._foreach_mul(gradients, gradients))

    def __call__(self, name: str, weight: nn.Parameter) -> Tensor:
        return weight.detach().square() * self.mean(name) / 2
