"""Uniform affine quantisation: q = clamp(round(x/s) + z), x̂ = s·(q - z)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def quantize(x: Tensor, scale: Tensor, zero_point: Tensor, low: int, high: int) -> Tensor:
    """clamp(round(x/s) + z, low, high), ties to even; ``scale`` broadcasts against ``x``."""
    return torch.clamp(torch.round(x / scale) + zero_point, low, high)


def dequantize(q: Tensor, scale: Tensor, zero_point: Tensor) -> Tensor:
    """s · (q - z)."""
    return (q - zero_point) * scale


def affine_range(low: Tensor, high: Tensor, bits: int = 8) -> tuple[Tensor, Tensor]:
    """Scale and zero point that cover [low, high] and represent 0 exactly, codes 0 … 2^bits - 1.

    s = (high - low)/(2^bits - 1) with low ≤ 0 ≤ high enforced, z = round(-low/s).
    """
    low, high = torch.clamp(low, max=0.0), torch.clamp(high, min=0.0)
    scale = usable((high - low) / (2**bits - 1))
    return scale, torch.round(-low / scale)


def along_channels(values: Tensor, weight: Tensor) -> Tensor:
    """(channels,) values reshaped to broadcast along dimension 0 of ``weight``; a scalar stays."""
    return values.view(-1, *[1] * (weight.dim() - 1)) if values.dim() else values


def fake_quantize(
    x: Tensor,
    scale: Tensor,
    zero_point: Tensor,
    low: int,
    high: int,
    centre: float = 0.0,
    damp: float = 1.0,
) -> Tensor:
    """x̂ = s·(clamp(round(x/s + c) + z, low, high) - z - c), in x's precision, with gradients.

    ∂x̂/∂x is 1 where not clamped, else 0 (straight-through); ∂x̂/∂s is round(x/s + c) - c -
    x/s where not clamped, else the code's distance low - z - c or high - z - c from zero.
    ``centre`` = ½ with codes 0 and 1 is the scaled sign ±s/2.

    Args:
        scale, zero_point: broadcast against ``x``.
        damp: factor on the gradient of the scale; LSQ's is 1/√(entries · high).

    Sources: Bengio, Léonard, Courville, "Estimating or Propagating Gradients Through Stochastic
    Neurons", 2013, https://arxiv.org/abs/1308.3432; Esser et al., "Learned Step Size Quantization",
    2020, https://arxiv.org/abs/1902.08153
    """
    made: Tensor = FakeQuantize.apply(x, scale, zero_point, (low, high), centre, damp)
    return made


class FakeQuantize(torch.autograd.Function):
    """See ``fake_quantize``."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        scale: Tensor,
        zero_point: Tensor,
        codes: tuple[int, int],
        centre: float,
        damp: float,
    ) -> Tensor:
        steps = x.float() / scale
        rounded = (steps + centre if centre else steps).round_().add_(zero_point)
        q = rounded.clamp(*codes)
        kept = q == rounded
        made = q.sub_(zero_point + centre if centre else zero_point).mul_(scale).to(x.dtype)
        if ctx.needs_input_grad[1]:
            ctx.save_for_backward(kept, x, made, scale)
        else:
            ctx.save_for_backward(kept)
        ctx.damp = damp
        return made

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        kept, *rest = ctx.saved_tensors
        through, moved = grad * kept, None
        if rest:  # round(v) - v is (x̂ - x)/s where not clamped; the code is x̂/s elsewhere
            x, made, scale = rest
            apart = total(grad, made, scale.shape) - total(through, x, scale.shape)
            moved = apart / scale * ctx.damp
        return through, moved, None, None, None, None


def total(a: Tensor, b: Tensor, shape: torch.Size) -> Tensor:
    """Σ a·b reduced to ``shape``: a scalar, or a value for each index of dimension 0."""
    if not shape:
        if a.dim() == 4 and a.is_contiguous(memory_format=torch.channels_last):
            a, b = a.movedim(1, -1), b.movedim(1, -1)  # as it lies: reshape need not copy
        return torch.dot(a.float().reshape(-1), b.float().reshape(-1))
    return torch.linalg.vecdot(a.float().flatten(1), b.float().flatten(1)).view(shape)


def binarize(weight: Tensor, scale: Tensor) -> Tensor:
    """ŵ = α·sign(w), 0 where w is 0: ∂ŵ/∂w = 1 (straight-through), ∂ŵ/∂α = sign(w).

    Source: Rastegari et al., "XNOR-Net", 2016, https://arxiv.org/abs/1603.05279
    """
    sign = torch.sign(weight.detach())
    return scale * sign + (weight - weight.detach())


def mean_magnitude(weight: Tensor) -> Tensor:
    """α = mean |w| over the non-zero weights of each output channel: min ‖w - α·sign(w)‖. (out,)"""
    flat = weight.detach().abs().flatten(1)
    alive = (flat != 0).sum(1).clamp(min=1)
    return usable(flat.sum(1) / alive)


def ternarize(weight: Tensor) -> tuple[Tensor, Tensor]:
    """ŵ = α·t, t = sign(w) where |w| > Δ = 0.7·mean |w|, else 0; α = mean of those |w|.

    Per output channel; means are over non-zero weights. ∂ŵ/∂w = 1.

    Returns:
        ŵ, and α (out,).

    Source: Li, Liu, "Ternary Weight Networks", 2016, https://arxiv.org/abs/1605.04711
    """
    flat = weight.detach().flatten(1)
    threshold = 0.7 * mean_magnitude(weight)[:, None]
    t = torch.sign(flat) * (flat.abs() > threshold)
    alpha = usable((flat * t).sum(1) / t.abs().sum(1).clamp(min=1))
    made = (alpha[:, None] * t).view_as(weight)
    return made + (weight - weight.detach()), alpha


def usable(scale: Tensor) -> Tensor:
    """The scale, or 1 where it is zero or underflows."""
    return torch.where(scale >= torch.finfo(torch.float32).tiny, scale, torch.ones_like(scale))
