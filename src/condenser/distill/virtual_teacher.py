"""Teacher-free distillation from a hand-designed virtual teacher."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from condenser.distill.base import Objective, Outputs
from condenser.errors import fraction, positive
from condenser.functional.losses import hard_loss, soft_loss


class VirtualTeacher(Objective):
    """L = α·CE(student, target) + (1-α)·KL(softmax(q/T) ‖ softmax(student)), teacher-free KD.

    q gives the target ``correct`` and each other class (1 - correct)/(C - 1).

    Args:
        temperature: T > 0 of the virtual teacher alone; the paper wants 20 or more.
        alpha: weight of the hard labels, in [0, 1]; the paper's α is 1 - α.
        correct: the paper's a in [0, 1], 0.9 or more there.

    Raises:
        ConfigError: a setting out of range, or data that are not classes.

    This is the authors' code for CIFAR-100, which their equation 9 is not: the equation divides the
    student's logits by T too, and reads as if log q were softened. The code takes q itself for
    logits, which at T=20 leaves nearly the uniform distribution of label smoothing (their issues 3
    and 19). It also divides by C and multiplies by a factor per network, 100 with the α = 0.9 (0.1
    there) and T = 20 of ResNet-18: for 100 classes exactly this loss.

    Source: Yuan, Tay, Li, Wang, Feng, "Revisiting Knowledge Distillation via Label Smoothing
    Regularization", CVPR 2020, https://arxiv.org/abs/1909.11723
    """

    takes_shares: ClassVar[bool] = False
    needs_teacher: ClassVar[bool] = False
    instead: ClassVar[str] = "label_smoothing"

    def __init__(
        self, temperature: float = 20.0, alpha: float = 0.9, correct: float = 0.99
    ) -> None:
        super().__init__()
        self.temperature = positive("distill.temperature", temperature)
        self.alpha, self.correct = (
            fraction("distill.alpha", alpha),
            fraction("distill.correct", correct),
        )

    def forward(
        self, student: Outputs, teacher: Outputs | None, target: Tensor
    ) -> dict[str, Tensor]:
        hard = hard_loss(student.logits, target)
        soft = soft_loss(student.logits, self.virtual(student.logits, target), 1.0)
        return {"loss": self.alpha * hard + (1 - self.alpha) * soft, "hard": hard, "soft": soft}

    def virtual(self, logits: Tensor, target: Tensor) -> Tensor:
        """q/T, of the shape of ``logits``."""
        other = (1 - self.correct) / (logits.shape[1] - 1)
        q = torch.full_like(logits, other, dtype=torch.float32)
        return q.scatter(1, target[:, None], self.correct) / self.temperature
