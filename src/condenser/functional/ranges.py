"""Range estimators for quantisation: min-max, percentile, minimum mean squared error."""

from __future__ import annotations

import torch
from torch import Tensor

from condenser.functional.quantization import affine_range, dequantize, quantize, usable

CUTS = 100  # fractions of the full range that ``least_error`` tries
SOME = 2**20  # values per quantile: torch.quantile refuses more than 2^24


def grid(low: Tensor, high: Tensor, bits: int, symmetric: bool) -> tuple[Tensor, Tensor]:
    """Scale and zero point of codes that cover [low, high] and represent 0 exactly.

    Symmetric: s = max(|low|, |high|) / (2^(bits-1) - 1), z = 0, codes -(2^(bits-1) - 1) to
    2^(bits-1) - 1. Affine: see ``affine_range``.
    """
    if not symmetric:
        return affine_range(low, high, bits)
    peak = torch.maximum(low.abs(), high.abs())
    return usable(peak / (2 ** (bits - 1) - 1)), torch.zeros_like(peak)


def codes(bits: int, symmetric: bool) -> tuple[int, int]:
    """The smallest and the largest code."""
    if symmetric:
        return -(2 ** (bits - 1) - 1), 2 ** (bits - 1) - 1
    return 0, 2**bits - 1


def everything(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Minimum and maximum of each row: (rows, n) → (rows,), (rows,)."""
    return rows.amin(1), rows.amax(1)


def percentile(rows: Tensor, percent: float) -> tuple[Tensor, Tensor]:
    """The range that clips (100 - percent)/2 % of a row's values at each end."""
    tail = (1 - percent / 100) / 2
    some = rows[:, :: max(1, rows.shape[1] // SOME)]
    low, high = torch.quantile(some, torch.tensor([tail, 1 - tail], dtype=rows.dtype), dim=1)
    return low, high


def least_error(rows: Tensor, bits: int, symmetric: bool) -> tuple[Tensor, Tensor]:
    """The fraction of a row's range, out of 100, whose grid has the lowest mean squared error.

    Source: Banner, Nahshan, Soudry, "Post training 4-bit quantization of convolutional networks",
    2019, https://arxiv.org/abs/1810.05723 (there in closed form for a Laplace distribution)
    """
    low, high = everything(rows)
    least = torch.full_like(low, torch.inf)
    best_low, best_high = low.clone(), high.clone()
    for cut in range(CUTS, 0, -1):
        inner = low * cut / CUTS, high * cut / CUTS
        scale, zero_point = (v[:, None] for v in grid(*inner, bits, symmetric))
        q = quantize(rows, scale, zero_point, *codes(bits, symmetric))
        error = (dequantize(q, scale, zero_point) - rows).square().mean(1)
        better = error < least
        least = torch.where(better, error, least)
        best_low = torch.where(better, inner[0], best_low)
        best_high = torch.where(better, inner[1], best_high)
    return best_low, best_high
