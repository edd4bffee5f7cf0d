"""Distillation of standardized logits."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from condenser.distill.base import LogitObjective, weights_of
from condenser.errors import positive
from condenser.functional.losses import soft_loss


class StandardizedKD(LogitObjective):
    """L = w_h·CE(student, target) + w_s·T²·KL(softmax(z_t/T) ‖ softmax(z_s/T)), z = (x - mean)/std.

    The student learns the order and proportions of the teacher's logits, not their size. Any other
    objective on logits does the same with ``standardize: true``; this one has the paper's two free
    weights, whose sum is not 1.

    Args:
        temperature: T > 0, the paper's base temperature.
        hard_weight: w_h >= 0.
        soft_weight: w_s >= 0, the paper's λ_KD.

    Raises:
        ConfigError: a setting out of range.

    std is over classes - 1, as in the authors' code; over classes, z would be √(C/(C-1)) times
    larger, which is a lower T.

    Source: Sun, Ren, Li, Wang, Cao, "Logit Standardization in Knowledge Distillation", CVPR 2024,
    https://arxiv.org/abs/2403.01427
    """

    method = "kd_std"
    least_classes: ClassVar[int] = 3

    def __init__(
        self, temperature: float = 2.0, hard_weight: float = 0.1, soft_weight: float = 9.0
    ) -> None:
        super().__init__(weights_of(hard=hard_weight, soft=soft_weight), standardize=True)
        self.temperature = positive("distill.temperature", temperature)

    def match(self, student: Tensor, teacher: Tensor, target: Tensor) -> dict[str, Tensor]:
        return {"soft": soft_loss(student, teacher, self.temperature)}
