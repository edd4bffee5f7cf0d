"""Keep auxiliary tensors on the device and in the layout of a network's weights."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def follow(tensors: list[Tensor], weights: Sequence[Tensor]) -> list[Tensor]:
    """Move the tensors to the weights' devices and memory layouts, keeping their dtypes.

    A trainer moves weights after ``prepare``; mixed layouts cost several times the time.
    """
    pairs = list(zip(tensors, weights, strict=True))
    if all(t.device == w.device and t.stride() == w.stride() for t, w in pairs):
        return tensors
    return [torch.empty_like(w.detach(), dtype=t.dtype).copy_(t) for t, w in pairs]
