"""TeKAP: perturbed logits of one teacher as further teachers."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from condenser.distill.base import LogitObjective, weights_of
from condenser.errors import count, fraction, positive
from condenser.functional.losses import soft_loss


class TeKAP(LogitObjective):
    """L = w_h·CE + w_s·T²·[KL(t‖s) + γ·Σ_k KL(t_k‖s)], t_k = softmax(((1-ν)·teacher + ν·ε_k)/T).

    s and t are softmax(student/T) and softmax(teacher/T), ε_k standard normal for every logit and
    step: one teacher becomes ``perspectives`` more. The defaults are those of the authors' code.

    Args:
        temperature: T > 0.
        perspectives: how many t_k.
        noise: ν, from 0 to 1.
        perspective_weight: γ >= 0.
        hard_weight: w_h >= 0.
        soft_weight: w_s >= 0.
        standardize: compare z-scores of the logits, before noise is added.

    Raises:
        ConfigError: a setting out of range.

    The paper's other form, noise on the teacher's features of crd, is not here.

    Source: Hossain, Akhter, Hong, Huh, "Single Teacher, Multiple Perspectives: Teacher Knowledge
    Augmentation for Enhanced Knowledge Distillation", ICLR 2025,
    https://openreview.net/forum?id=DmEHmZ89iB; code: https://github.com/mdimtiazh/TeKAP
    """

    stochastic: ClassVar[bool] = True

    def __init__(
        self,
        temperature: float = 4.0,
        perspectives: int = 3,
        noise: float = 0.1,
        perspective_weight: float = 0.8,
        hard_weight: float = 0.1,
        soft_weight: float = 0.9,
        standardize: bool = False,
    ) -> None:
        weights = weights_of(hard=hard_weight, soft=soft_weight, perspective=perspective_weight)
        weights["perspective"] *= soft_weight
        super().__init__(weights, standardize)
        self.temperature = positive("distill.temperature", temperature)
        self.perspectives = count("distill.perspectives", perspectives)
        self.noise = fraction("distill.noise", noise)

    def match(self, student: Tensor, teacher: Tensor, target: Tensor) -> dict[str, Tensor]:
        drawn = self.draw(teacher)
        others = torch.lerp(teacher.expand_as(drawn), drawn, self.noise).flatten(0, 1)
        again = student.repeat(self.perspectives, 1)
        return {
            "soft": soft_loss(student, teacher, self.temperature),
            "perspective": self.perspectives * soft_loss(again, others, self.temperature),
        }

    def draw(self, teacher: Tensor) -> Tensor:
        """ε, (perspectives, batch, classes)."""
        return torch.randn(self.perspectives, *teacher.shape, device=teacher.device)
