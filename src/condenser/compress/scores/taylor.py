"""What the loss would change by, to first order."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from condenser.compress.base import CalibrationData
from condenser.compress.groups import IN, Group
from condenser.compress.scores.gradient import GradientMean, gradients, mean_of
from condenser.compress.scores.reduction import Scores, sums, weights_of


class Taylor(GradientMean):
    """|w| · E|g| = E|g·w|: the first-order change of the loss if the weight were zero.

    The expectation is over batches, of whatever loss is trained on. With one batch and before
    training it is SNIP's saliency, up to a factor. A group's score is the sum of its weights'.

    A channel's is not: E (Σ g·w)² over the weights that read it. That sum is the loss's first-order
    change, but for the sign, when the channel goes, and terms of both signs cancel in it; what
    makes the channel cannot tell, since a batch norm undoes its scale.

    Sources: Molchanov, Mallya, Tyree, Frosio, Kautz, "Importance Estimation for Neural Network
    Pruning", 2019, https://arxiv.org/abs/1906.10771; Lee, Ajanthan, Torr, "SNIP: Single-shot
    Network Pruning based on Connection Sensitivity", 2019, https://arxiv.org/abs/1810.02340
    """

    def terms(self, gradients: list[Tensor]) -> list[Tensor]:
        return list(torch._foreach_abs(gradients))

    def __call__(self, name: str, weight: nn.Parameter) -> Tensor:
        return weight.detach().abs() * self.mean(name)

    def channels(
        self, model: nn.Module, groups: list[Group], calibration: CalibrationData | None
    ) -> Scores:
        readers = {p.layer: w for g in groups for p, w in weights_of(model, g, (IN,))}

        def changes(batch: list[Tensor]) -> list[Tensor]:
            of = dict(zip(readers, batch, strict=True))
            return [
                sums(model, group, (IN,), lambda layer, w: w.detach() * of[layer]) ** 2
                for group in groups
            ]

        batches = gradients(model, readers, self.needed(calibration), self.images, self.batch)
        means = mean_of(changes(batch) for batch in batches)
        return {group.name: mean for group, mean in zip(groups, means, strict=True)}
