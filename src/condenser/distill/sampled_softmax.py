"""Softmax over the item asked for and others drawn at random."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from condenser.distill.base import Objective, Outputs
from condenser.errors import count, fraction
from condenser.functional.ranking_losses import sampled_softmax
from condenser.tasks import Task


class SampledSoftmax(Objective):
    """L = -log( exp(s⁺) / (exp(s⁺) + Σ_j exp(s_j) / (n·q_j)) ): no teacher.

    The n items j are drawn once for a batch, with replacement, by q ∝ (how often they are asked for
    in training, plus one)^power; the sum is an unbiased estimate of that over all others.

    Args:
        negatives: n.
        power: 0: uniform; 1: by popularity.

    Source: Jean et al. 2015, https://arxiv.org/abs/1412.2007
    """

    needs_teacher: ClassVar[bool] = False
    takes_shares: ClassVar[bool] = False
    stochastic: ClassVar[bool] = True

    def __init__(self, negatives: int = 512, power: float = 0.0) -> None:
        super().__init__()
        self.negatives = count("distill.negatives", negatives)
        self.power = fraction("distill.power", power)
        self.chance: Tensor = torch.ones(1)

    def setup(self, task: Task, targets: Tensor) -> None:
        super().setup(task, targets)
        asked = targets if targets.ndim == 1 else targets[:, 0]
        chance = (asked.cpu().bincount(minlength=task.outputs) + 1.0) ** self.power
        self.chance = chance / chance.sum()

    def forward(
        self, student: Outputs, teacher: Outputs | None, target: Tensor
    ) -> dict[str, Tensor]:
        scores = student.logits.float()
        chance = self.chance.to(scores.device)
        drawn = torch.multinomial(chance, self.negatives, replacement=True)
        others = scores[:, drawn] - (self.negatives * chance[drawn]).log()
        others = others.masked_fill(drawn == target.unsqueeze(1), -torch.inf)
        return {"loss": sampled_softmax(scores.gather(1, target.unsqueeze(1)), others)}
