"""Gradient-based regrowth of pruned weights (RigL)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from condenser.functional.pruning import swap


def regrown(
    weights: Sequence[nn.Parameter], masks: Sequence[Tensor], alive: Sequence[Tensor], share: float
) -> list[Tensor]:
    """Each layer's mask with ``share`` of its kept weights swapped for others.

    The smallest go, those with the largest gradient come: masked weights have gradients too, since
    the mask multiplies after the step. A layer without a gradient stays as it is.

    Args:
        masks, alive: bools a weight; where alive is False nothing may grow.
    """
    swapped = []
    for w, mask, may in zip(weights, masks, alive, strict=True):
        if w.grad is None:
            swapped.append(mask)
            continue
        growth = w.grad.abs().masked_fill(~may.to(w.device), -torch.inf)
        swapped.append(swap(mask, w.detach().abs(), growth, int(share * int(mask.sum()))))
    return swapped
