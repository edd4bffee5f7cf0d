"""Post-training static quantisation, simulated: every number is one the integer file can hold."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from condenser.compress.base import Operation, State
from condenser.errors import ConfigError
from condenser.functional.quantization import (
    affine_range,
    dequantize,
    per_channel,
    quantize,
    symmetric_scale,
)

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
LAYERS = (nn.Linear, *CONVOLUTIONS)


class InputQuantizer(nn.Module):
    """x̂ = s·(clamp(round(x/s) + z, 0, 2^bits - 1) - z), one scale for the tensor."""

    scale: Tensor
    zero_point: Tensor

    def __init__(self, bits: int) -> None:
        super().__init__()
        self.high = 2**bits - 1
        self.register_buffer("scale", torch.ones(()))
        self.register_buffer("zero_point", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        codes = quantize(x, self.scale, self.zero_point, 0, self.high)
        return dequantize(codes, self.scale, self.zero_point)


def quantize_input(layer: Any, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """The forward pre-hook of a layer that owns an ``input_quantizer``."""
    return (layer.input_quantizer(args[0]), *args[1:])


@dataclass(frozen=True)
class FoldBatchNorm(Operation):
    """Batch norms folded into the convolutions before them: y = γ(Wx - μ)/σ + β is one convolution.

    ``pairs`` holds (convolution, batch norm) names.
    """

    pairs: Sequence[Sequence[str]]

    def apply(self, model: nn.Module) -> None:
        for conv, norm in self.pairs:
            layers: Any = (model.get_submodule(conv).eval(), model.get_submodule(norm).eval())
            model.set_submodule(conv, fuse_conv_bn_eval(*layers))
            model.set_submodule(norm, nn.Identity())


@dataclass(frozen=True)
class Quantized(Operation):
    """These layers' weights lie on a symmetric grid per output channel; stored as int8 codes.

    With ``activation_bits`` their inputs are rounded too, to an affine grid per tensor, with ranges
    seen on ``images`` training images.
    """

    layers: Sequence[str]
    bits: int
    activation_bits: int | None
    images: int

    def apply(self, model: nn.Module) -> None:
        for name in self.layers:
            layer: Any = model.get_submodule(name)
            layer.register_buffer("weight_scale", torch.ones(layer.weight.shape[0]))
            if self.activation_bits is not None:
                layer.input_quantizer = InputQuantizer(self.activation_bits)
                layer.register_forward_pre_hook(quantize_input)

    def encode(self, state: State) -> State:
        codes = {
            f"{n}.weight": torch.round(w / _scale(state, n, w)).to(torch.int8)
            for n, w in self._weights(state)
        }
        return {**state, **codes}

    def decode(self, state: State) -> State:
        weights = {f"{n}.weight": q.float() * _scale(state, n, q) for n, q in self._weights(state)}
        return {**state, **weights}

    def _weights(self, state: State) -> list[tuple[str, Tensor]]:
        """Those of the layers that are still there: a later operation may have taken some away."""
        here = [name for name in self.layers if f"{name}.weight" in state]
        return [(name, state[f"{name}.weight"]) for name in here]


def _scale(state: State, layer: str, weight: Tensor) -> Tensor:
    return per_channel(state[f"{layer}.weight_scale"], weight, axis=0)


class PostTraining:
    """Round weights (and activations) of a trained network, with ranges seen on training images.

    Batch norm is folded first, as the deployed graph does. Weights: symmetric, per output channel.
    Activations: the least and greatest value seen at a layer's input, affine, per tensor.

    Args:
        bits: of a weight, 2 to 8.
        activation_bits: of a layer's input, 2 to 8, or None to leave activations in float.
        images: how many training images to look at.
        exclude: patterns of layer names left in float.

    Source: Jacob et al., "Quantization and Training of Neural Networks for Efficient
    Integer-Arithmetic-Only Inference", 2018, https://arxiv.org/abs/1712.05877
    """

    def __init__(
        self,
        bits: int = 8,
        activation_bits: int | None = 8,
        images: int = 1024,
        exclude: Sequence[str] = (),
    ) -> None:
        for key, value in (("bits", bits), ("activation_bits", activation_bits)):
            if value is not None and not 2 <= value <= 8:
                raise ConfigError(f"quantize.{key}", value, "a whole number from 2 to 8")
        self.bits, self.activation_bits = bits, activation_bits
        self.images, self.exclude = images, exclude

    @torch.no_grad()
    def __call__(self, model: nn.Module, images: Tensor) -> list[Operation]:
        """Quantise ``model`` in place; ``images`` (n, C, H, W) are normalised training images."""
        model.eval()
        fold = FoldBatchNorm(foldable(model))
        fold.apply(model)
        layers: dict[str, nn.Module] = {
            name: layer
            for name, layer in model.named_modules()
            if isinstance(layer, LAYERS) and not any(fnmatch(name, p) for p in self.exclude)
        }
        if not layers:
            raise ConfigError("quantize.exclude", self.exclude, "patterns that leave a layer")
        ranges = input_ranges(model, layers, images)
        quantized = Quantized(list(layers), self.bits, self.activation_bits, len(images))
        quantized.apply(model)
        for name, layer in layers.items():
            self._round(layer, *ranges[name])
        return [fold, quantized] if fold.pairs else [quantized]

    def _round(self, layer: Any, low: Tensor, high: Tensor) -> None:
        weight, top = layer.weight, 2 ** (self.bits - 1) - 1
        layer.weight_scale.copy_(symmetric_scale(weight, self.bits))
        scale, zero = per_channel(layer.weight_scale, weight, 0), torch.zeros_like(low)
        weight.copy_(dequantize(quantize(weight, scale, zero, -top, top), scale, zero))
        if self.activation_bits is not None:
            scale, zero_point = affine_range(low, high, self.activation_bits)
            layer.input_quantizer.scale.copy_(scale)
            layer.input_quantizer.zero_point.copy_(zero_point)


def input_ranges(
    model: nn.Module, layers: dict[str, nn.Module], images: Tensor, batch: int = 256
) -> dict[str, tuple[Tensor, Tensor]]:
    """Least and greatest value at the input of each layer, over all images."""
    seen: dict[str, tuple[Tensor, Tensor]] = {}

    def watch(name: str) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        def hook(_: nn.Module, args: tuple[Tensor, ...]) -> None:
            low, high = args[0].amin(), args[0].amax()
            if name in seen:
                low, high = torch.minimum(low, seen[name][0]), torch.maximum(high, seen[name][1])
            seen[name] = (low, high)

        return hook

    handles = [layer.register_forward_pre_hook(watch(name)) for name, layer in layers.items()]
    for part in images.split(batch):
        model(part)
    for handle in handles:
        handle.remove()
    return seen


def foldable(model: nn.Module) -> list[tuple[str, str]]:
    """(convolution, batch norm) names where the norm alone reads the convolution, each used once.

    A model that torch.fx cannot trace has none: its batch norms stay.
    """
    try:
        graph = torch.fx.symbolic_trace(model).graph
    except Exception:
        return []
    modules = dict(model.named_modules())
    calls = [node for node in graph.nodes if node.op == "call_module"]
    names = [str(node.target) for node in calls]
    return [
        (str(node.args[0].target), str(node.target))
        for node in calls
        if isinstance(modules[str(node.target)], nn.modules.batchnorm._BatchNorm)
        and node.args
        and node.args[0] in calls
        and isinstance(modules[str(node.args[0].target)], CONVOLUTIONS)
        and len(node.args[0].users) == 1
        and names.count(str(node.target)) == names.count(str(node.args[0].target)) == 1
    ]
