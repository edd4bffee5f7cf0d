"""Training on hard labels alone."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from condenser.distill.base import Objective, Outputs
from condenser.tasks import EVERY


class Labels(Objective):
    """L = CE(student, target), binary cross-entropy for labels: no teacher."""

    needs_teacher: ClassVar[bool] = False
    tasks: ClassVar[tuple[str, ...]] = EVERY

    def forward(
        self, student: Outputs, teacher: Outputs | None, target: Tensor
    ) -> dict[str, Tensor]:
        return {"loss": self.task.hard_loss(student.logits, target)}
