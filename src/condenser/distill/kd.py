"""Knowledge distillation."""

from __future__ import annotations

from math import inf

from torch import Tensor

from condenser.distill.base import Objective, Outputs
from condenser.errors import ConfigError
from condenser.functional.losses import hard_loss, soft_loss


class KD(Objective):
    """L = α·CE(student, target) + (1-α)·T²·KL(softmax(teacher/T) ‖ softmax(student/T)).

    Args:
        temperature: T > 0; the higher, the more the teacher's small probabilities count.
        alpha: weight of the hard labels, in [0, 1].

    Raises:
        ConfigError: temperature or alpha out of range.

    Source: Hinton, Vinyals, Dean, "Distilling the Knowledge in a Neural Network", 2015,
    https://arxiv.org/abs/1503.02531
    """

    def __init__(self, temperature: float = 4.0, alpha: float = 0.1) -> None:
        super().__init__()
        if not 0 < temperature < inf:
            raise ConfigError("distill.temperature", temperature, "a finite number above 0")
        if not 0 <= alpha <= 1:
            raise ConfigError("distill.alpha", alpha, "a number from 0 to 1")
        self.temperature, self.alpha = temperature, alpha

    def forward(
        self, student: Outputs, teacher: Outputs | None, target: Tensor
    ) -> dict[str, Tensor]:
        assert teacher is not None
        hard = hard_loss(student.logits, target)
        soft = soft_loss(student.logits, teacher.logits, self.temperature)
        return {"loss": self.alpha * hard + (1 - self.alpha) * soft, "hard": hard, "soft": soft}
