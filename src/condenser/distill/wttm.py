"""Weighted transformed teacher matching."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from condenser.distill.base import LogitObjective, weights_of
from condenser.errors import positive
from condenser.functional.logit_losses import divergence, power_sum
from condenser.tasks import EVERY


class WTTM(LogitObjective):
    """L = w·CE(student, target) + β·mean_i U_i·KL(p̂_i ‖ softmax(student_i)), p̂ ∝ p^γ, γ = 1/T.

    p is softmax(teacher). U = Σ_c p_c^γ weighs a sample: for γ < 1 it is 1 where the teacher is
    certain and C^(1-γ) where it knows nothing. Without U this is TTM. Of labels each is a choice of
    its own, with C = 2 and its own U.

    Args:
        temperature: T = 1/γ > 0.
        soft_weight: β >= 0. β and γ are per pair in the paper; T=5, β=4 are from the authors'
            example, vgg13 → vgg8 on CIFAR-100 beside CRD. U is large, β small beside TTM's.
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
        temperature: float = 5.0,
        soft_weight: float = 4.0,
        hard_weight: float = 1.0,
        standardize: bool = False,
    ) -> None:
        super().__init__(weights_of(hard=hard_weight, soft=soft_weight), standardize)
        self.temperature = positive("distill.temperature", temperature)

    def match(self, student: Tensor, teacher: Tensor, target: Tensor) -> dict[str, Tensor]:
        own, given = self.task.choices(student), self.task.choices(teacher)
        distance = divergence(own, given / self.temperature)
        return {"soft": (power_sum(given, 1 / self.temperature) * distance).mean()}
