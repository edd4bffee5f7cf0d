"""Tensors beside a network's weights, kept where the trainer puts those."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def follow(tensors: list[Tensor], weights: Sequence[Tensor]) -> list[Tensor]:
    """The tensors on the weights' devices and in their memory layouts, each its own dtype.

    A trainer moves weights after ``prepare``; mixed layouts cost several times the time.
    """
    pairs = list(zip(tensors, weights, strict=True))
    if all(t.device == w.device and t.stride() == w.stride() for t, w in pairs):
        return tensors
    return [torch.empty_like(w.detach(), dtype=t.dtype).copy_(t) for t, w in pairs]
