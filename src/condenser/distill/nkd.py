"""Normalised knowledge distillation."""

from __future__ import annotations

from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor

from condenser.distill.base import LogitObjective, weights_of
from condenser.errors import positive
from condenser.functional.logit_losses import decouple


class NKD(LogitObjective):
    """L = w·CE(student, target) - t_y·log s_y - γ·λ²·Σ_{c≠y} t̂_c·log ŝ_c, mean over the batch.

    s and t are softmax(student) and softmax(teacher); ŝ and t̂ are the same at temperature λ over
    the classes other than the target y, so that both sum to 1 and can be equal.

    Args:
        temperature: λ > 0, of the other classes alone.
        nontarget_weight: γ >= 0. The paper has λ=1, γ=1.5 on ImageNet.
        hard_weight: w >= 0.
        standardize: compare z-scores of the logits.

    Raises:
        ConfigError: a setting out of range, or data of fewer than three classes: of two the
            last term is 0.

    Cross-entropies, not divergences: with the teacher's logits the last term is at its minimum, the
    entropy of t̂, and the second falls further as s_y grows.

    Source: Yang, Zeng, Li, Zhang, Yuan, Li, "From Knowledge Distillation to Self-Knowledge
    Distillation: A Unified Approach with Normalized Loss and Customized Soft Labels", ICCV 2023,
    https://arxiv.org/abs/2303.13005
    """

    takes_shares: ClassVar[bool] = False
    least_classes: ClassVar[int] = 3

    def __init__(
        self,
        temperature: float = 1.0,
        nontarget_weight: float = 1.5,
        hard_weight: float = 1.0,
        standardize: bool = False,
    ) -> None:
        super().__init__(
            weights_of(hard=hard_weight, target=1.0, nontarget=nontarget_weight), standardize
        )
        self.temperature = positive("distill.temperature", temperature)

    def match(self, student: Tensor, teacher: Tensor, target: Tensor) -> dict[str, Tensor]:
        trust = teacher.softmax(dim=1).gather(1, target[:, None])
        log_s = F.log_softmax(student, dim=1).gather(1, target[:, None])
        others = decouple(student, target)[1] / self.temperature
        given = (decouple(teacher, target)[1] / self.temperature).softmax(dim=1)
        return {
            "target": -(trust * log_s).mean(),
            "nontarget": self.temperature**2 * F.cross_entropy(others, given),
        }
