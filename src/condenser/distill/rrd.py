"""Relaxed ranking distillation."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from condenser.distill.base import LogitObjective, weights_of
from condenser.errors import count, positive
from condenser.functional.ranking import OUT
from condenser.functional.ranking_losses import relaxed_ranking


class RRD(LogitObjective):
    """L = hard·CE + rank·relaxed_ranking(K interesting, L uninteresting items of the teacher).

    Interesting items are drawn for each sample and step, without replacement, by exp(-r/T) of the
    rank r that the teacher gives them among the unlabelled; their order is the teacher's. Ranks
    beyond K + 16·T, whose chance is below 10⁻⁶, are not drawn. Uninteresting ones are drawn
    uniformly, with replacement, from those behind. The loss is the mean over the K items, where
    the authors take their sum.

    Args:
        interesting: K, at most half of the items. uninteresting: L. temperature: T.

    Source: Kang, Hwang, Kweon, Yu, DE-RRD: A Knowledge Distillation Framework for Recommender
    System (2020), section 4.2, https://arxiv.org/abs/2012.04357, https://github.com/SeongKu-Kang/DE-RRD
    """

    least_classes: ClassVar[int] = 4
    takes_shares: ClassVar[bool] = False
    stochastic: ClassVar[bool] = True

    def __init__(
        self,
        interesting: int = 40,
        uninteresting: int = 40,
        temperature: float = 10.0,
        hard_weight: float = 1.0,
        rank_weight: float = 1.0,
    ) -> None:
        super().__init__(weights_of(hard=hard_weight, rank=rank_weight))
        self.interesting = count("distill.interesting", interesting)
        self.uninteresting = count("distill.uninteresting", uninteresting)
        self.temperature = positive("distill.temperature", temperature)

    def match(self, student: Tensor, teacher: Tensor, target: Tensor) -> dict[str, Tensor]:
        items = teacher.shape[1]
        unlabelled = teacher.scatter(1, target.unsqueeze(1), OUT)
        interesting = min(self.interesting, items // 2)
        most = min(interesting + int(16 * self.temperature), items - 1)
        ahead = unlabelled.topk(most)
        there = ahead.values > OUT
        rank = torch.arange(most, device=teacher.device)
        chance = -rank / self.temperature - torch.empty_like(ahead.values).exponential_().log()
        chosen = chance.masked_fill(~there, -torch.inf).topk(interesting).indices
        chosen = chosen.sort(1).values
        scores = student.gather(1, ahead.indices.gather(1, chosen))
        drawn = torch.randint(items, (len(teacher), self.uninteresting), device=teacher.device)
        known = unlabelled.gather(1, drawn)
        behind = (known < ahead.values[:, -1:]) & (known > OUT)
        others = student.gather(1, drawn).masked_fill(~behind, -torch.inf)
        return {"rank": relaxed_ranking(scores, others)}
