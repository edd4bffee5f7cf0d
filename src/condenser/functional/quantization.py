"""Real numbers as small integers and back: q = clamp(round(x/s) + z), x̂ = s·(q - z)."""

from __future__ import annotations

import torch
from torch import Tensor


def symmetric_scale(weight: Tensor, bits: int, axis: int | None = 0) -> Tensor:
    """s = max|w| / (2^(bits-1) - 1), one per slice along ``axis`` (or one in all if None).

    bits is at least 2. The grid is symmetric (-127…127 for 8 bits) and holds zero exactly, so that
    zeros stay zeros.
    A slice that is zero, or too small to be told from it, gets s = 1.

    Returns:
        (slices,) or a scalar.
    """
    levels = 2 ** (bits - 1) - 1
    flat = weight.abs().flatten() if axis is None else weight.abs().transpose(0, axis).flatten(1)
    peak = flat.max() if axis is None else flat.amax(dim=1)
    scale, smallest = peak / levels, torch.finfo(peak.dtype).tiny
    return torch.where(scale >= smallest, scale, torch.ones_like(scale))


def quantize(x: Tensor, scale: Tensor, zero_point: Tensor, low: int, high: int) -> Tensor:
    """clamp(round(x/s) + z, low, high), ties to even; ``scale`` broadcasts against ``x``."""
    return torch.clamp(torch.round(x / scale) + zero_point, low, high)


def dequantize(q: Tensor, scale: Tensor, zero_point: Tensor) -> Tensor:
    """s · (q - z)."""
    return (q - zero_point) * scale


def affine_range(low: Tensor, high: Tensor, bits: int = 8) -> tuple[Tensor, Tensor]:
    """Scale and zero point that cover [low, high] and hold 0 exactly, codes 0 … 2^bits - 1.

    s = (high - low)/(2^bits - 1) with low ≤ 0 ≤ high enforced, z = round(-low/s).
    """
    low, high = torch.clamp(low, max=0.0), torch.clamp(high, min=0.0)
    scale = torch.clamp((high - low) / (2**bits - 1), min=torch.finfo(torch.float32).tiny)
    return scale, torch.round(-low / scale)


def per_channel(values: Tensor, like: Tensor, axis: int) -> Tensor:
    """(channels,) values shaped so that they broadcast along ``axis`` of ``like``."""
    return values.view([-1 if d == axis else 1 for d in range(like.dim())])
