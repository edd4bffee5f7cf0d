"""Scores of rankings with one relevant item."""

from __future__ import annotations

import torch
from torch import Tensor

OUT = -1e4  # a logit that no softmax and no ranking sees, finite in float16 too


def leave_out(logits: Tensor, seen: Tensor) -> Tensor:
    """Logits (batch, items) with -10,000 at the items ``seen`` (batch, n); negative ones are none.

    Raises:
        RuntimeError: an item that has no logit.
    """
    spare = torch.cat((logits, logits.new_zeros(len(logits), 1)), dim=1)  # for those that are none
    place = torch.where(seen < 0, logits.shape[1], seen)
    return spare.scatter(1, place, OUT)[:, :-1]


def rank(logits: Tensor, target: Tensor) -> Tensor:
    """How many items stand before the one asked for, (batch,); of equal scores half of them do.

    By halves, or constant scores would be a perfect ranking.
    """
    own = logits.gather(1, target.unsqueeze(1))
    before, equal = (logits > own).sum(1), (logits == own).sum(1) - 1
    return before + equal / 2


def recall(logits: Tensor, target: Tensor, k: int) -> Tensor:
    """1 where the item is among the first k, else 0: (batch,)."""
    return (rank(logits, target) < k).float()


def ndcg(logits: Tensor, target: Tensor, k: int) -> Tensor:
    """1 / log₂(2 + rank) where the item is among the first k, else 0: (batch,).

    Source: https://doi.org/10.1145/582415.582418
    """
    place = rank(logits, target)
    return torch.where(place < k, (2 + place).log2().reciprocal(), 0.0)
