"""Decoupled knowledge distillation."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from condenser.distill.base import LogitObjective, weights_of
from condenser.errors import fraction, positive
from condenser.functional.logit_losses import decouple
from condenser.functional.losses import soft_loss


class DKD(LogitObjective):
    """L = w·CE(student, target) + r·T²·(α·TCKD + β·NCKD).

    TCKD is the KL of (p_y, 1 - p_y), the target or not; NCKD the KL over the other classes,
    renormalised. KD is TCKD + (1 - p_y)·NCKD with the teacher's p_y: a teacher that is sure hides
    what it knows of the other classes, and β brings it back.

    Args:
        temperature: T > 0.
        target_weight: α >= 0.
        nontarget_weight: β >= 0; per pair in the paper: 2, 6 or 8 on CIFAR-100, 0.5 at T=1 on
            ImageNet.
        hard_weight: w >= 0.
        warmup: part of training, in [0, 1], in which r goes from 0 to 1; the paper's 20 of 240
            epochs is 1/12. The authors' r is constant within an epoch and begins at 1/20.
        standardize: compare z-scores of the logits.

    Raises:
        ConfigError: a setting out of range, or data of fewer than three classes: of two
            NCKD is 0.

    The authors take the target out by subtracting 1000 from its logit; here it is left out, which
    is the same up to logits of that size.

    Source: Zhao, Cui, Song, Qiu, Liang, "Decoupled Knowledge Distillation", CVPR 2022,
    https://arxiv.org/abs/2203.08679
    """

    takes_shares: ClassVar[bool] = False
    least_classes: ClassVar[int] = 3

    def __init__(
        self,
        temperature: float = 4.0,
        target_weight: float = 1.0,
        nontarget_weight: float = 8.0,
        hard_weight: float = 1.0,
        warmup: float = 1 / 12,
        standardize: bool = False,
    ) -> None:
        super().__init__(
            weights_of(hard=hard_weight, target=target_weight, nontarget=nontarget_weight),
            standardize,
        )
        self.temperature = positive("distill.temperature", temperature)
        self.warmup, self.full = fraction("distill.warmup", warmup), self.weights

    def progress(self, done: float) -> None:
        ramp = min(done / self.warmup, 1.0) if self.warmup else 1.0
        self.weights = {n: w if n == "hard" else ramp * w for n, w in self.full.items()}

    def match(self, student: Tensor, teacher: Tensor, target: Tensor) -> dict[str, Tensor]:
        own, own_others = decouple(student / self.temperature, target)
        given, given_others = decouple(teacher / self.temperature, target)
        square = self.temperature**2
        return {
            "target": square * soft_loss(own, given, 1.0),
            "nontarget": square * soft_loss(own_others, given_others, 1.0),
        }
