"""Which weights to keep, from one score a weight."""

from __future__ import annotations

import torch
from torch import Tensor


def keep_largest(scores: Tensor, rate: float) -> Tensor:
    """A mask that drops exactly round(rate · n) of the n lowest scores; ties fall by position.

    Args:
        scores: any shape; the higher, the more worth keeping.
        rate: fraction to drop, in [0, 1].

    Returns:
        bool mask of the scores' shape, True where kept.
    """
    drop = round(rate * scores.numel())
    mask = torch.ones(scores.numel(), dtype=torch.bool, device=scores.device)
    mask[torch.argsort(scores.flatten(), stable=True)[:drop]] = False
    return mask.view(scores.shape)


def keep_across(scores: dict[str, Tensor], rate: float) -> dict[str, Tensor]:
    """Masks under one threshold for all layers: weak layers lose more."""
    flat = torch.cat([s.flatten() for s in scores.values()])
    parts = keep_largest(flat, rate).split([s.numel() for s in scores.values()])
    return {name: m.view(s.shape) for (name, s), m in zip(scores.items(), parts, strict=True)}


def keep_within(scores: dict[str, Tensor], rate: float) -> dict[str, Tensor]:
    """Masks with the same rate in every layer."""
    return {name: keep_largest(s, rate) for name, s in scores.items()}
