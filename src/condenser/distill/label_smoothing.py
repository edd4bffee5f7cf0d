"""Label smoothing."""

from __future__ import annotations

from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor

from condenser.distill.base import Objective, Outputs
from condenser.errors import fraction
from condenser.tasks import EVERY


class LabelSmoothing(Objective):
    """L = (1-ε)·CE(student, target) + ε·CE(student, uniform): labels (1-ε)·onehot + ε/C.

    For binary labels C = 2: (1-ε)·y + ε/2, and CE is the mean over the labels.

    Equivalent to a uniform teacher, hence the baseline of every other teacher. Its minimum is the
    entropy of the smoothed labels, above 0.

    Args:
        smoothing: ε in [0, 1].

    Raises:
        ConfigError: smoothing out of range.

    Yuan et al. 2020 spread ε over the other classes alone, ε/(C-1), and leave the target 1-ε; that
    is this loss with ε·C/(C-1).

    Source: Szegedy, Vanhoucke, Ioffe, Shlens, Wojna, "Rethinking the Inception Architecture for
    Computer Vision", CVPR 2016, https://arxiv.org/abs/1512.00567
    """

    needs_teacher: ClassVar[bool] = False
    tasks: ClassVar[tuple[str, ...]] = EVERY

    def __init__(self, smoothing: float = 0.1) -> None:
        super().__init__()
        self.smoothing = fraction("distill.smoothing", smoothing)

    def forward(
        self, student: Outputs, teacher: Outputs | None, target: Tensor
    ) -> dict[str, Tensor]:
        hard = self.task.hard_loss(student.logits, target)
        uniform = -F.log_softmax(self.task.choices(student.logits.float()), dim=1).mean()
        loss = (1 - self.smoothing) * hard + self.smoothing * uniform
        return {"loss": loss, "hard": hard, "uniform": uniform}
