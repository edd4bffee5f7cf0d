"""Training on grids of powers of two: weights and biases that a file stores without scales."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from condenser.compress.base import CalibrationData, State
from condenser.compress.quantization.base import Quantization
from condenser.compress.quantization.operation import FoldBatchNorm
from condenser.compress.quantization.quantizers import WeightQuantizer
from condenser.errors import ConfigError
from condenser.models import weights


@dataclass(eq=False)
class GridTraining(Quantization):
    """ŵ = 2^e·clamp(round(w/2^e), -h, h), h = 2^(bits-1) - 1, one e for a weight, one for a bias.

    Batch norms are folded into the convolutions before them first. e is the power of two nearest
    to the scale of the least squared error, and stays; every forward pass has rounded weights and
    biases, gradients are straight-through. What is kept is on its grid, so that the network needs
    no operation to rebuild it, and a packed file stores of each tensor e and small integers.
    Activations stay in float.

    Args:
        bits: of a weight, 2 to 5.
        bias_bits: of a bias, 2 to 5.

    Raises:
        ConfigError: bits out of range, or settings of scales and activations, which it lacks.

    Source of the straight-through gradient: Bengio, Léonard, Courville, 2013,
    https://arxiv.org/abs/1308.3432; of powers of two: Jain et al., "Trained Quantization
    Thresholds", 2020, https://arxiv.org/abs/1903.08066
    """

    bits: int = 3
    bias_bits: int = 4
    activation_bits: int | None = None
    per_channel: bool = False
    ranges: Any = "mse"

    def __post_init__(self) -> None:
        super().__post_init__()
        for key in ("bits", "bias_bits"):
            if not 2 <= getattr(self, key) <= 5:
                raise ConfigError(f"quantize.{key}", getattr(self, key), "2 to 5")
        for key in ("activation_bits", "per_channel", "affine", "budget"):
            if getattr(self, key):
                raise ConfigError(f"quantize.{key}", getattr(self, key), "null or false on a grid")

    def prepare(self, model: nn.Module, calibration: CalibrationData | None = None) -> None:
        images, before = self.given(calibration)
        self.settle(model.eval(), images, before)
        fold = FoldBatchNorm(self.folds(model))
        fold.apply(model)
        for name, quantizer in self.quantizers(model).items():
            layer: Any = model.get_submodule(name)
            attach(layer, "weight", snapped(quantizer))
            if layer.bias is not None:
                layer.bias.requires_grad_(True)  # folding leaves it without
                attach(layer, "bias", snapped(covering(layer.bias, self.bias_bits)))
        self.operations = [fold] if fold.pairs else []

    def kept(self, model: nn.Module, state: State) -> State:
        made = copy.deepcopy(model)
        weights.fill(made, state)
        with torch.no_grad():
            for module in made.modules():
                for name in ("weight", "bias"):
                    if quantizer := grids(module).get(name):
                        parameter = module.get_parameter(name)
                        parameter.copy_(quantizer(parameter) + 0.0)  # no -0.0
        return {key: value for key, value in made.state_dict().items() if "_grid." not in key}


def covering(values: Tensor, bits: int) -> WeightQuantizer:
    """One grid of so many bits for all values."""
    quantizer = WeightQuantizer(bits).to(values.device)
    rows = values.detach().reshape(1, -1)
    quantizer.cover(values, rows.amin(1), rows.amax(1))
    return quantizer


def snapped(quantizer: WeightQuantizer) -> WeightQuantizer:
    """Its scale as the nearest power of two."""
    quantizer.scale.copy_(torch.exp2(quantizer.scale.log2().round()))
    return quantizer


def attach(layer: nn.Module, name: str, quantizer: WeightQuantizer) -> None:
    """Let the layer see this parameter rounded, for the time of a forward pass."""
    layer.add_module(f"{name}_grid", quantizer)
    if len(grids(layer)) == 1:
        layer.register_forward_pre_hook(show)
        layer.register_forward_hook(hide, always_call=True)


def grids(layer: nn.Module) -> dict[str, WeightQuantizer]:
    """What rounds its parameters."""
    children = layer._modules
    found = {name: children.get(f"{name}_grid") for name in ("weight", "bias")}
    return {name: grid for name, grid in found.items() if isinstance(grid, WeightQuantizer)}


def show(layer: nn.Module, _: object) -> None:
    for name, quantizer in grids(layer).items():
        layer.__dict__[name] = quantizer(layer._parameters[name])


def hide(layer: nn.Module, *_: object) -> None:
    for name in grids(layer):
        layer.__dict__.pop(name, None)
