"""Ranking: recommendation of the next item."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from condenser.functional.ranking import leave_out, ndcg
from condenser.tasks.base import NOTHING
from condenser.tasks.classes import Multiclass


@dataclass(frozen=True)
class Ranking(Multiclass):
    """The next item among all. Logits (batch, items); target int64 (batch,), or (batch, 1 + n):
    then behind the item asked for stand those already seen, filled up with -100, and a decision
    leaves them out.

    Source of the measure: Järvelin, Kekäläinen, "Cumulated gain-based evaluation of IR techniques",
    2002, https://doi.org/10.1145/582415.582418, with one relevant item.
    """

    word: ClassVar[str] = "ranking"
    target: ClassVar[str] = "torch.int64 (samples,) or (samples, 1 + seen), items (-100: none)"
    chosen: ClassVar[str] = "ndcg10"
    named: ClassVar[bool] = False

    def decisions(self, logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        if target.ndim == 1:
            return logits, target
        return leave_out(logits, target[:, 1:]), target[:, 0]

    def credit(self, logits: Tensor, target: Tensor) -> Tensor:
        return ndcg(logits, target, 10)

    def fits(self, targets: Tensor) -> bool:
        if targets.dtype != torch.int64 or targets.ndim not in (1, 2):
            return False
        asked, seen = targets.view(len(targets), -1).tensor_split([1], dim=1)
        known = ((seen >= 0) | (seen == NOTHING)) & (seen < self.outputs)
        return bool(((asked >= 0) & (asked < self.outputs)).all() and known.all())
