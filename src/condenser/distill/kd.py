"""Knowledge distillation."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from condenser.distill.base import LogitObjective
from condenser.errors import fraction, positive
from condenser.tasks import EVERY


class KD(LogitObjective):
    """L = α·CE(student, target) + (1-α)·T²·KL(softmax(teacher/T) ‖ softmax(student/T)).

    Of labels: binary cross-entropy, and KL of the Bernoullis σ(z/T), both mean over the labels.

    Args:
        temperature: T > 0; the higher, the more the teacher's small probabilities count.
        alpha: weight of the hard labels, in [0, 1].
        standardize: compare z-scores of the logits.

    Raises:
        ConfigError: temperature or alpha out of range.

    Source: Hinton, Vinyals, Dean, "Distilling the Knowledge in a Neural Network", 2015,
    https://arxiv.org/abs/1503.02531
    """

    tasks: ClassVar[tuple[str, ...]] = EVERY

    def __init__(
        self, temperature: float = 4.0, alpha: float = 0.1, standardize: bool = False
    ) -> None:
        super().__init__({"hard": fraction("distill.alpha", alpha), "soft": 1 - alpha}, standardize)
        self.temperature = positive("distill.temperature", temperature)

    def match(self, student: Tensor, teacher: Tensor, target: Tensor) -> dict[str, Tensor]:
        return {"soft": self.task.soft_loss(student, teacher, self.temperature)}
