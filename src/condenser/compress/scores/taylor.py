"""What the loss would change by, to first order."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from condenser.compress.scores.gradient import GradientMean


class Taylor(GradientMean):
    """|w| · E|g| = E|g·w|: the first-order change of the loss if the weight were zero.

    The expectation is over batches, of whatever loss is trained on. With one batch and before
    training it is SNIP's saliency, up to a factor. A group's score is the sum of its weights'.

    Sources: Molchanov, Mallya, Tyree, Frosio, Kautz, "Importance Estimation for Neural Network
    Pruning", 2019, https://arxiv.org/abs/1906.10771; Lee, Ajanthan, Torr, "SNIP: Single-shot
    Network Pruning based on Connection Sensitivity", 2019, https://arxiv.org/abs/1810.02340
    """

    def terms(self, gradients: list[Tensor]) -> list[Tensor]:
        return list(torch._foreach_abs(gradients))

    def __call__(self, name: str, weight: nn.Parameter) -> Tensor:
        return weight.detach().abs() * self.mean(name)
