"""How many channels go, and which: from scores to masks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from condenser.functional.pruning import global_threshold

Scope = Callable[[dict[str, Tensor], float], dict[str, Tensor]]


@dataclass(frozen=True)
class Chooser:
    """Masks (True where kept) for a rate, within limits.

    Attributes:
        scope: (scores by group, rate) → masks: one threshold for all groups, or one rate in each.
        floor: the least channels that a cut leaves in a group.
        round_to: a cut group's channels are the nearest multiple of this (at least one of them).
    """

    scope: Scope = global_threshold
    floor: int = 0
    round_to: int = 1

    def __call__(self, scores: dict[str, Tensor], rate: float) -> dict[str, Tensor]:
        masks = self.scope(scores, rate)
        return {name: self.within_limits(scores[name], mask) for name, mask in masks.items()}

    def within_limits(self, scores: Tensor, mask: Tensor) -> Tensor:
        """The same mask with as many of the best kept as the limits want."""
        kept, size = int(mask.sum()), len(mask)
        if kept == size:
            return mask
        if self.round_to > 1:
            kept = max(round(kept / self.round_to), 1) * self.round_to
        return best(scores, min(max(kept, self.floor), size))


def best(scores: Tensor, count: int) -> Tensor:
    """(n,) bool with the ``count`` highest scores; of equal ones the first in place go first."""
    mask = torch.zeros(len(scores), dtype=torch.bool)
    mask[torch.argsort(scores, stable=True)[len(scores) - count :]] = True
    return mask


def fewest(fits: Callable[[int], bool], highest: int) -> int | None:
    """The least n in 0 … highest that fits, where all above one that fits do; None if none does."""
    if not fits(highest):
        return None
    low, high = 0, highest
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if fits(middle) else (middle + 1, high)
    return low
