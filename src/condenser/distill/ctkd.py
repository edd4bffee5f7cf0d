"""Curriculum temperature: an adversarially learned temperature."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from condenser.distill.base import LogitObjective, weights_of
from condenser.errors import fraction, positive
from condenser.functional.logit_losses import divergence, reverse_gradient
from condenser.functional.schedules import cosine
from condenser.tasks import EVERY


class CTKD(LogitObjective):
    """L = w_h·CE + w_s·τ²·KL(softmax(teacher/τ) ‖ softmax(student/τ)), τ = τ₀ + r·σ(θ).

    θ is one number, trained beside the student by an SGD of its own (momentum 0.9, weight decay
    5e-4, as the authors train both) on the same schedule, with its gradient times -λ: it makes the
    student's task harder. λ = (1 - cos πp/c)/2 of the progress p, from 0 to 1 at p = c
    and 1 from there: an easy start.

    Args:
        tau_init: τ₀ > 0, the lowest temperature.
        tau_range: r > 0; θ begins at 1, τ at 15.6 by default.
        curriculum: c in [0, 1], the part of training in which λ grows; the paper's 10 of 240
            epochs is 1/24. The authors' λ is constant within an epoch.
        tau_lr: learning rate of θ, > 0.
        hard_weight: w_h >= 0.
        soft_weight: w_s >= 0.
        standardize: compare z-scores of the logits.

    Raises:
        ConfigError: a setting out of range.

    Of labels the KL is that of Bernoullis, mean over the labels.

    The paper's global version; in its instance-wise one a small network gives a θ per sample.

    Source: Li, Li, Yang, Zhao, Song, Luo, Li, Yang, "Curriculum Temperature for Knowledge
    Distillation", AAAI 2023, https://arxiv.org/abs/2211.16231
    """

    tasks: ClassVar[tuple[str, ...]] = EVERY

    def __init__(
        self,
        tau_init: float = 1.0,
        tau_range: float = 20.0,
        curriculum: float = 1 / 24,
        tau_lr: float = 0.05,
        hard_weight: float = 0.1,
        soft_weight: float = 0.9,
        standardize: bool = False,
    ) -> None:
        super().__init__(weights_of(hard=hard_weight, soft=soft_weight), standardize)
        self.tau_init = positive("distill.tau_init", tau_init)
        self.tau_range = positive("distill.tau_range", tau_range)
        self.curriculum = fraction("distill.curriculum", curriculum)
        self.tau_lr = positive("distill.tau_lr", tau_lr)
        self.theta, self.strength = nn.Parameter(torch.ones(())), 1.0

    def progress(self, done: float) -> None:
        part = min(done / self.curriculum, 1.0) if self.curriculum else 1.0
        self.strength = 1 - cosine(part)

    def own_optimizer(self) -> torch.optim.Optimizer:
        return torch.optim.SGD([self.theta], self.tau_lr, momentum=0.9, weight_decay=5e-4)

    def match(self, student: Tensor, teacher: Tensor, target: Tensor) -> dict[str, Tensor]:
        theta = reverse_gradient(self.theta.float(), self.strength)
        tau = self.tau_init + self.tau_range * theta.sigmoid()
        own, given = self.task.choices(student), self.task.choices(teacher)
        soft = tau**2 * divergence(own / tau, given / tau).mean()
        return {"soft": soft, "temperature": tau.detach()}
