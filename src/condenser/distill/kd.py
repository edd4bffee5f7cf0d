"""Knowledge distillation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from torch import Tensor

from condenser.distill.base import LogitObjective
from condenser.distill.divergence import divergence_of
from condenser.errors import fraction, positive
from condenser.tasks import EVERY


class KD(LogitObjective):
    """L = α·CE(student, target) + (1-α)·T²·KL(softmax(teacher/T) ‖ softmax(student/T)).

    Of labels: binary cross-entropy, and KL of the Bernoullis σ(z/T), both mean over the labels; of
    tokens both are means over the tokens.

    Args:
        temperature: T > 0; the higher, the more the teacher's small probabilities count.
        alpha: weight of the hard labels, in [0, 1].
        standardize: compare z-scores of the logits.
        divergence: in place of the (forward) KL: reverse, jensen_shannon, skew, skew_reverse or
            alpha_beta of condenser.functional.divergences; with settings {skew: {weight: 0.2}}.

    Raises:
        ConfigError: temperature or alpha out of range; no such divergence.

    Source: Hinton, Vinyals, Dean, "Distilling the Knowledge in a Neural Network", 2015,
    https://arxiv.org/abs/1503.02531
    """

    tasks: ClassVar[tuple[str, ...]] = EVERY

    def __init__(
        self,
        temperature: float = 4.0,
        alpha: float = 0.1,
        standardize: bool = False,
        divergence: str | Mapping[str, Any] = "forward",
    ) -> None:
        super().__init__({"hard": fraction("distill.alpha", alpha), "soft": 1 - alpha}, standardize)
        self.temperature = positive("distill.temperature", temperature)
        self.divergence = divergence_of(divergence)

    def match(self, student: Tensor, teacher: Tensor, target: Tensor) -> dict[str, Tensor]:
        student, teacher = self.task.choices(student), self.task.choices(teacher)
        return {"soft": self.divergence(student, teacher, self.temperature)}
