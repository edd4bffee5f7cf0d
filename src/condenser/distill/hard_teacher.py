"""Hard-label distillation: the teacher's decision as a second label."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from condenser.distill.base import LogitObjective
from condenser.errors import fraction
from condenser.tasks import EVERY


class HardTeacher(LogitObjective):
    """L = α·CE(student, target) + (1-α)·CE(student, argmax teacher).

    Args:
        alpha: weight of the true labels, in [0, 1]. The authors' code calls 1 - α alpha.
        standardize: take z-scores of the student's logits for the second term.

    Raises:
        ConfigError: alpha out of range.

    Of labels the teacher's decision is yes where its probability is above ½.

    One head learns both. In the paper a distillation token of the transformer has a head of its own
    for the second term, and the heads are averaged at test time.

    Source: Touvron, Cord, Douze, Massa, Sablayrolles, Jégou, "Training data-efficient image
    transformers & distillation through attention", ICML 2021, https://arxiv.org/abs/2012.12877
    """

    tasks: ClassVar[tuple[str, ...]] = EVERY

    def __init__(self, alpha: float = 0.5, standardize: bool = False) -> None:
        super().__init__(
            {"hard": fraction("distill.alpha", alpha), "decision": 1 - alpha}, standardize
        )

    def match(self, student: Tensor, teacher: Tensor, target: Tensor) -> dict[str, Tensor]:
        return {"decision": self.task.hard_loss(student, self.task.decide(teacher))}
