"""Modules that round: a layer's input always, its weight while it trains.

Not ``nn.utils.parametrize``: it moves the parameter to ``parametrizations.weight.original`` and
gives the layer another class, so that state dicts, masks, codebooks and exports would each have to
know of it. Here hooks show the rounded weight for the time of a forward pass.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from condenser.compress.quantization.sites import weight_name
from condenser.functional import ranges
from condenser.functional.quantization import (
    affine_range,
    along_channels,
    binarize,
    fake_quantize,
    mean_magnitude,
    ternarize,
    usable,
)


class InputQuantizer(nn.Module):
    """x̂ = s·(clamp(round(x/s) + z, 0, 2^bits - 1) - z), one scale for the tensor.

    One bit for values of both signs is the scaled sign ±s/2, else 0 or s.

    Args:
        learn: the scale is learned, with the gradient of LSQ: see ``stretched``.
    """

    scale: Tensor
    zero_point: Tensor
    centre: Tensor

    def __init__(self, bits: int, learn: bool = False) -> None:
        super().__init__()
        self.bits, self.high = bits, 2**bits - 1
        self.register_buffer("scale", torch.ones(()))
        self.stretch = nn.Parameter(torch.ones(())) if learn else None
        self.register_buffer("zero_point", torch.zeros(()))
        if bits == 1:
            self.register_buffer("centre", torch.zeros(()))

    @torch.no_grad()
    def cover(self, low: Tensor, high: Tensor) -> None:
        """Take the range [low, high]."""
        if self.bits == 1 and low < 0:
            self.scale.copy_(usable(2 * torch.maximum(-low, high)))  # the two values are ±s/2
            self.centre.fill_(0.5)
            return
        scale, zero_point = affine_range(low, high, self.bits)
        self.scale.copy_(scale)
        self.zero_point.copy_(zero_point)

    def forward(self, x: Tensor) -> Tensor:
        centre = 0.5 if self.bits == 1 and self.centre else 0.0
        damp = 1 / math.sqrt(x[0].numel() * self.high)
        scale = stretched(self.scale, self.stretch)
        return fake_quantize(x, scale, self.zero_point, 0, self.high, centre, damp)

    @torch.no_grad()
    def settle(self) -> None:
        """Keep the scale that was learned; it learns no more."""
        self.scale.copy_(stretched(self.scale, self.stretch))
        self.stretch = None


class WeightQuantizer(nn.Module):
    """ŵ = s·(clamp(round(w/s) + z, low, high) - z), s of each output channel or of the whole.

    One bit: ŵ = α·sign(w), where α is the mean |w|, anew each time, or is learned. Zeros stay zero.
    Without ``affine`` z = 0 and low = -high, so that a batch norm can be folded into the scale
    whatever its sign; two bits are then the three values of a ternary weight.

    Args:
        channels: how many scales; None for one.
        learn: scales are learned, with the gradient of LSQ: see ``stretched``.
        ternary: the threshold and scale of TWN, anew each time, instead.
    """

    scale: Tensor
    zero_point: Tensor

    def __init__(
        self,
        bits: int,
        channels: int | None = None,
        affine: bool = False,
        learn: bool = False,
        ternary: bool = False,
    ) -> None:
        super().__init__()
        self.bits, self.affine, self.learn, self.ternary = bits, affine, learn, ternary
        shape = () if channels is None else (channels,)
        self.low, self.high = ranges.codes(bits, not affine) if bits > 1 else (-1, 1)
        self.register_buffer("scale", torch.ones(shape))
        self.stretch = nn.Parameter(torch.ones(shape)) if learn and not ternary else None
        self.register_buffer("zero_point", torch.zeros(shape))

    @torch.no_grad()
    def cover(self, weight: Tensor, low: Tensor, high: Tensor) -> None:
        """Take the ranges [low, high], of each channel or of the whole."""
        if self.bits == 1:
            self.scale.copy_(self._magnitude(weight))
            return
        scale, zero_point = ranges.grid(low, high, self.bits, not self.affine)
        self.scale.copy_(scale.view(self.scale.shape))
        self.zero_point.copy_(zero_point.view(self.scale.shape))

    def forward(self, weight: Tensor) -> Tensor:
        if self.ternary:
            return ternarize(self._rows(weight))[0].view_as(weight)
        scale, zero_point = self.grid(weight)
        if self.bits == 1:
            return binarize(weight, scale)
        damp = 1 / math.sqrt(weight.numel() / max(self.scale.numel(), 1) * self.high)
        return fake_quantize(weight, scale, zero_point, self.low, self.high, damp=damp)

    def grid(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        """Scale and zero point, so that they broadcast against ``weight``."""
        if self.ternary:
            scale = ternarize(self._rows(weight))[1].view(self.scale.shape)
        elif self.bits == 1 and not self.learn:
            scale = self._magnitude(weight)
        else:
            scale = stretched(self.scale, self.stretch)
        return along_channels(scale, weight), along_channels(self.zero_point, weight)

    def _magnitude(self, weight: Tensor) -> Tensor:
        return mean_magnitude(self._rows(weight)).view(self.scale.shape)

    def _rows(self, weight: Tensor) -> Tensor:
        """What has one scale is one along dimension 0."""
        return weight if self.scale.dim() else weight.reshape(1, -1)


def stretched(scale: Tensor, stretch: Tensor | None) -> Tensor:
    """|s·stretch|: the scale, and where it is learned the factor that is.

    The factor is given ∂L/∂s / s. So a step of SGD moves the scale as if it were the parameter,
    which is what LSQ's damping is made for; and a step of Adam, whose size knows nothing of the
    parameter's, moves it by a share of itself, be it of a weight or of an activation.
    """
    if stretch is None:
        return scale
    now, slope = (scale * stretch).detach(), stretch / scale
    tiny = torch.finfo(torch.float32).tiny  # it may step over zero: its size is what counts
    return (now + (slope - slope.detach())).abs().clamp(min=tiny)


def quantize_input(layer: Any, args: tuple[Any, ...]) -> tuple[Any, ...]:
    """The forward pre-hook of a layer with an ``input_quantizer``: attention has three inputs."""
    count = 3 if isinstance(layer, nn.MultiheadAttention) else 1
    rounded: dict[int, Tensor] = {}
    for x in args[:count]:
        if id(x) not in rounded:
            rounded[id(x)] = layer.input_quantizer(x)
    return (*(rounded[id(x)] for x in args[:count]), *args[count:])


def quantize_output(layer: Any, _: object, output: Tensor) -> Tensor:
    """The forward hook of a module with an ``output_quantizer``."""
    made: Tensor = layer.output_quantizer(output)
    return made


def round_input(layer: Any, quantizer: InputQuantizer) -> None:
    """Let the layer see its input rounded."""
    layer.input_quantizer = quantizer
    layer.register_forward_pre_hook(quantize_input)


def round_output(module: Any, quantizer: InputQuantizer) -> None:
    """Let everyone see the module's output rounded."""
    module.output_quantizer = quantizer
    module.register_forward_hook(quantize_output)


def show_rounded(layer: nn.Module, _: object) -> None:
    """The forward pre-hook of a layer with a ``weight_quantizer``.

    For the time of its forward pass the layer sees the rounded weight. Its parameter stays what and
    where it is, so that optimisers, masks, codebooks, checkpoints and averages of weights know
    nothing of it.
    """
    name = weight_name(layer)
    layer.__dict__[name] = layer.weight_quantizer(layer._parameters[name])  # type: ignore[operator]


def hide_rounded(layer: nn.Module, *_: object) -> None:
    """The forward hook that takes it away, whatever happened in between."""
    layer.__dict__.pop(weight_name(layer), None)


def unhook(layer: nn.Module, *hooks: Callable[..., Any]) -> None:
    """Take these functions away from what is called before and after the layer's forward."""
    for called in (layer._forward_pre_hooks, layer._forward_hooks):
        for key in [key for key, hook in called.items() if hook in hooks]:
            del called[key]


@torch.no_grad()
def settle_weight(layer: Any, quantizer: WeightQuantizer) -> None:
    """Put the weight on its grid for good, and the grid beside it."""
    weight, shape = layer._parameters[weight_name(layer)], quantizer.scale.shape
    scale, zero_point = quantizer.grid(weight)
    weight.copy_(quantizer(weight))
    layer.register_buffer("weight_scale", scale.reshape(shape).clone())
    if quantizer.affine:
        layer.register_buffer("weight_zero_point", zero_point.reshape(shape).clone())


@torch.no_grad()
def settle_biases(model: nn.Module, names: Iterable[str]) -> None:
    """Round biases as a file of integers does, to multiples of the scale of the products.

    A channel without a weight that is not zero has no products, and any scale.
    """
    for name in names:
        layer: Any = model.get_submodule(name)
        quantizer, bias = getattr(layer, "input_quantizer", None), getattr(layer, "bias", None)
        if quantizer is None or quantizer.bits < 8 or bias is None:
            continue
        step = (layer.weight_scale * quantizer.scale).expand(bias.shape)
        free = layer.weight.flatten(1).any(1).logical_not() | (bias.abs() / step > 2**30)
        bias.copy_(torch.where(free, bias, torch.round(bias / step) * step))
