"""Hard labels alone."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from condenser.distill.base import Objective, Outputs
from condenser.functional.losses import hard_loss


class Labels(Objective):
    """L = CE(student, target): what a network learns without a teacher."""

    needs_teacher: ClassVar[bool] = False

    def forward(
        self, student: Outputs, teacher: Outputs | None, target: Tensor
    ) -> dict[str, Tensor]:
        return {"loss": hard_loss(student.logits, target)}
