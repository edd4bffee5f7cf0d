"""BPR: an item is to be ahead of others drawn at random."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from condenser.distill.base import Objective, Outputs
from condenser.errors import count
from condenser.functional.ranking_losses import bpr


class BPR(Objective):
    """L = mean of -log σ(s_target - s_j), j other items drawn uniformly: no teacher.

    Items that the task leaves out of the ranking, as those already seen, are infinitely far behind
    and add nothing.

    Args:
        negatives: j, items drawn for each sample.

    Source: Rendle et al. 2009, https://arxiv.org/abs/1205.2618
    """

    needs_teacher: ClassVar[bool] = False
    takes_shares: ClassVar[bool] = False
    stochastic: ClassVar[bool] = True

    def __init__(self, negatives: int = 8) -> None:
        super().__init__()
        self.negatives = count("distill.negatives", negatives)

    def forward(
        self, student: Outputs, teacher: Outputs | None, target: Tensor
    ) -> dict[str, Tensor]:
        scores, own = student.logits.float(), target.unsqueeze(1)
        shape = len(scores), self.negatives
        others = torch.randint(scores.shape[1] - 1, shape, device=scores.device)
        others = others + (others >= own)
        return {"loss": bpr(scores.gather(1, own), scores.gather(1, others))}
