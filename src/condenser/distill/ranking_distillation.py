"""Ranking Distillation: the teacher's first items as if they had been liked."""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from condenser.distill.base import LogitObjective, weights_of
from condenser.errors import ConfigError, count, nonnegative, positive
from condenser.functional.ranking_losses import ranking_weights


class RankingDistillation(LogitObjective):
    """L = hard·CE + rank·Σ_r w_r · -log σ(s_{π_r}), π the teacher's first K unlabelled items.

    w_r ∝ exp(-r/λ) · tanh(max(0, μ·(r̂_r - r))): what stands first counts most, and what the
    student ranks too low. r̂ is the student's rank among all items, which the paper estimates from
    a sample. The first ``warmup`` of training goes by position alone, as the authors' code does.
    The item asked for, and those that the task leaves out, are labelled.

    Args:
        k: K. position: λ. discrepancy: μ.

    Source: Tang, Wang 2018, https://arxiv.org/abs/1809.07428,
    https://github.com/graytowne/rank_distill
    """

    least_classes: ClassVar[int] = 3
    takes_shares: ClassVar[bool] = False

    def __init__(
        self,
        k: int = 10,
        position: float = 10.0,
        discrepancy: float = 0.1,
        warmup: float = 0.1,
        hard_weight: float = 1.0,
        rank_weight: float = 0.5,
    ) -> None:
        super().__init__(weights_of(hard=hard_weight, rank=rank_weight))
        self.k, self.position = count("distill.k", k), positive("distill.position", position)
        self.discrepancy = nonnegative("distill.discrepancy", discrepancy)
        if not 0 <= warmup <= 1:
            raise ConfigError("distill.warmup", warmup, "a share of training, 0 to 1")
        self.warmup, self.done = warmup, 0.0

    def progress(self, done: float) -> None:
        self.done = done

    def match(self, student: Tensor, teacher: Tensor, target: Tensor) -> dict[str, Tensor]:
        unlabelled = teacher.scatter(1, target.unsqueeze(1), -torch.inf)
        first = unlabelled.topk(min(self.k, teacher.shape[1] - 1)).indices
        scores = student.gather(1, first)
        with torch.no_grad():
            behind = student.scatter(1, target.unsqueeze(1), -torch.inf)
            ranks = 1 + torch.stack([(behind > s).sum(1) for s in scores.T[:, :, None]], dim=1)
            late = self.discrepancy if self.done >= self.warmup else 0.0
            weights = ranking_weights(ranks, self.position, late)
        return {"rank": -(weights * F.logsigmoid(scores)).sum(1).mean()}
