"""A quantised network in integer arithmetic, with operators that every exporter supports."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import torch
import torch.ao.quantization.fx._decomposed  # the operators
from torch import Tensor, nn

from condenser.compress.quantization import InputQuantizer, Quantized, weight_name
from condenser.functional.quantization import along_channels

CODES = "codes"  # suffix of integer buffers, as in ``weight_codes``
OPERATORS: Any = torch.ops.quantized_decomposed
BIAS_BITS = 31  # bits of an integer bias without its sign; the last is headroom for rounding
Grid = tuple[Tensor, Tensor, Tensor]  # codes, scale and zero point of each output channel


def coded(model: nn.Module, operation: Quantized) -> nn.Module:
    """A copy that computes what ``model`` simulates, weights, inputs and outputs as integers.

    Where a layer's input is quantised, its bias is an integer too, at the scale of the products.
    """
    made = copy.deepcopy(model).cpu().eval()
    grids = {}
    for name in operation.layers:
        layer: Any = made.get_submodule(name)
        grids[name] = grid_of(layer, operation.affine)
        if biased(layer) and operation.bits_of(name)[1] is not None:
            codes, scale, zero = fitting(layer, *grids[name])
            grids[name] = codes, scale, zero
            step = scale * layer.input_quantizer.scale
            store(layer, "bias", (torch.round(layer.bias.detach() / step).int(), step, zero))
        store(layer, weight_name(layer), grids[name])
    for name, module in list(made.named_modules()):
        if isinstance(module, InputQuantizer):
            made.set_submodule(name, Rounding(module))
    made.register_forward_pre_hook(show)
    made.register_forward_hook(hide, always_call=True)
    return made


class Rounding(nn.Module):
    """An 8-bit ``InputQuantizer``, in the exporters' operators."""

    def __init__(self, quantizer: InputQuantizer) -> None:
        super().__init__()
        assert quantizer.bits == 8, "a file holds bytes; the plan refuses others"
        self.grid = float(quantizer.scale), int(quantizer.zero_point), 0, 255, torch.uint8

    def forward(self, x: Tensor) -> Tensor:
        q = OPERATORS.quantize_per_tensor(x, *self.grid)
        made: Tensor = OPERATORS.dequantize_per_tensor(q, *self.grid)
        return made


def biased(layer: Any) -> bool:
    """Whether it adds a bias to products of its weight and a quantised input."""
    return hasattr(layer, "input_quantizer") and getattr(layer, "bias", None) is not None


def grid_of(layer: Any, affine: bool) -> Grid:
    """The weight's grid in the simulated network."""
    weight = layer.get_parameter(weight_name(layer)).detach()
    scale = layer.weight_scale.expand(len(weight)).clone()
    zero = layer.weight_zero_point if affine else torch.zeros(())
    zero = zero.long().expand(len(weight)).clone()
    codes = torch.round(weight / along_channels(scale, weight)) + along_channels(zero, weight)
    kind = torch.uint8 if affine else torch.int8
    return codes.to(kind), scale, zero


def fitting(layer: Any, codes: Tensor, scale: Tensor, zero: Tensor) -> Grid:
    """The grid, made coarser in channels whose bias would overflow its integer, and as fine as the
    bias allows in channels that are all bias.

    Where it is coarser the bias is 2^30 times a product, which dominates the sum anyway.
    """
    alive = (codes != along_channels(zero, codes)).flatten(1).any(1)
    least = layer.bias.detach().abs() / layer.input_quantizer.scale / 2 ** (BIAS_BITS - 1)
    wider = torch.where(alive, scale, 0.0).maximum(least).clamp(min=1e-30)
    kept = along_channels(wider == scale, codes)
    again = torch.round(codes * along_channels(scale / wider, codes)).to(codes.dtype)
    return torch.where(kept, codes, again), wider, zero


def store(layer: nn.Module, name: str, grid: Grid) -> None:
    for what, tensor in zip((CODES, "scale", "zero_point"), grid, strict=True):
        layer.register_buffer(f"{name}_{what}", tensor)


def stored(model: nn.Module) -> Iterator[tuple[Any, str]]:
    """(layer, parameter name) of everything stored as integers."""
    for layer in model.modules():
        for name in layer._parameters:
            if f"{name}_{CODES}" in layer._buffers:
                yield layer, name


def show(model: nn.Module, _: object) -> None:
    """The forward pre-hook of the whole network: dequantises parameters, also of layers that are
    read but never called."""
    for layer, name in stored(model):
        codes, scale, zero = (getattr(layer, f"{name}_{w}") for w in (CODES, "scale", "zero_point"))
        span = torch.iinfo(codes.dtype)
        layer.__dict__[name] = OPERATORS.dequantize_per_channel(
            codes, scale, zero, 0, span.min, span.max, codes.dtype
        )


def hide(model: nn.Module, *_: object) -> None:
    """The forward hook that removes the dequantised parameters."""
    for layer, name in stored(model):
        layer.__dict__.pop(name, None)
