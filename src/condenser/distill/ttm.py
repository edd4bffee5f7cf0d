"""Transformed teacher matching."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from condenser.distill.base import LogitObjective, weights_of
from condenser.errors import positive
from condenser.tasks import EVERY


class TTM(LogitObjective):
    """L = w·CE(student, target) + β·KL(p̂ ‖ softmax(student)), p̂ ∝ softmax(teacher)^γ, γ = 1/T.

    Raising the teacher's probabilities to γ and normalising them is a softmax at T; the student's
    has none, which amounts to KD with a Rényi entropy term. No T²: the gradient does not shrink
    with T. Of labels p̂ is the Bernoulli σ(teacher/T), and KL the mean over the labels.

    Args:
        temperature: T = 1/γ > 0.
        soft_weight: β >= 0. β and γ are per pair in the paper; T=10, β=45 is the authors'
            example, vgg13 → vgg8 on CIFAR-100.
        hard_weight: w >= 0.
        standardize: compare z-scores of the logits.

    Raises:
        ConfigError: a setting out of range.

    Source: Zheng, Yang, "Knowledge Distillation Based on Transformed Teacher Matching", ICLR 2024,
    https://arxiv.org/abs/2402.11148
    """

    tasks: ClassVar[tuple[str, ...]] = EVERY

    def __init__(
        self,
        temperature: float = 10.0,
        soft_weight: float = 45.0,
        hard_weight: float = 1.0,
        standardize: bool = False,
    ) -> None:
        super().__init__(weights_of(hard=hard_weight, soft=soft_weight), standardize)
        self.temperature = positive("distill.temperature", temperature)

    def match(self, student: Tensor, teacher: Tensor, target: Tensor) -> dict[str, Tensor]:
        return {"soft": self.task.soft_loss(student, teacher / self.temperature, 1.0)}
