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


def pack_bits(mask: Tensor) -> Tensor:
    """A bool mask of n entries as ⌈n/8⌉ bytes, the first entry in the lowest bit."""
    bits = torch.nn.functional.pad(mask.flatten().to(torch.uint8), (0, -mask.numel() % 8))
    return (bits.view(-1, 8) << _shifts(mask)).sum(dim=1, dtype=torch.uint8)


def unpack_bits(packed: Tensor, count: int) -> Tensor:
    """The first ``count`` entries of what ``pack_bits`` packed, flat."""
    return ((packed.unsqueeze(1) >> _shifts(packed)) & 1).flatten()[:count].bool()


def _shifts(like: Tensor) -> Tensor:
    return torch.arange(8, dtype=torch.uint8, device=like.device)
