"""Fold batch norms into weights that are already quantised, keeping their codes."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import nn

from condenser.compress.quantization.operation import FoldBatchNorm, Quantized, nothing
from condenser.compress.quantization.tracing import foldable
from condenser.functional.quantization import along_channels, usable


def folded(model: nn.Module, operation: Quantized) -> nn.Module:
    """A copy that computes the same, without the batch norms that were left for a codebook's sake.

    What a graph's optimiser would fold would no longer be on the grid.
    """
    plain = copy.deepcopy(model).eval()
    for conv, norm in foldable(plain):
        bits = operation.bits_of(conv)[0] if conv in operation.layers else None
        fold(plain, conv, norm, bits)
    return plain


@torch.no_grad()
def fold(model: nn.Module, conv_name: str, norm_name: str, bits: int | None) -> None:
    """y = γ(Wx - μ)/σ + β as one convolution whose codes are those of W, or their opposites.

    ``bits`` None: the convolution was left in float.
    """
    conv: Any = model.get_submodule(conv_name)
    norm: Any = model.get_submodule(norm_name)
    if bits is None:
        FoldBatchNorm([(conv_name, norm_name)]).apply(model)
        return
    factor = torch.rsqrt(norm.running_var + norm.eps) * (norm.weight if norm.affine else 1.0)
    codes = torch.round(conv.weight / along_channels(conv.weight_scale, conv.weight))  # q - z
    scale = conv.weight_scale * factor.abs()
    conv.weight_scale = usable(scale)
    codes = torch.where(along_channels(conv.weight_scale == scale, codes), codes, 0.0)  # γ = 0
    if hasattr(conv, "weight_zero_point"):
        top = 2**bits - 1  # unsigned codes: q becomes top - q
        conv.weight_zero_point = torch.where(
            factor < 0, top - conv.weight_zero_point, conv.weight_zero_point
        )
    sign = torch.where(factor < 0, -1.0, 1.0)
    conv.weight.copy_(
        codes * along_channels(sign, codes) * along_channels(conv.weight_scale, codes)
    )
    bias = torch.zeros_like(norm.running_mean) if conv.bias is None else conv.bias
    shift = norm.bias if norm.affine else 0.0
    conv.bias = nn.Parameter((bias - norm.running_mean) * factor + shift)
    model.set_submodule(norm_name, nothing(norm))
