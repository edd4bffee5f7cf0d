"""Quantisation-aware training."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from condenser.compress.base import CalibrationData, State
from condenser.compress.quantization.base import Quantization
from condenser.compress.quantization.folding import fold
from condenser.compress.quantization.operation import FoldBatchNorm
from condenser.compress.quantization.quantizers import (
    InputQuantizer,
    WeightQuantizer,
    hide_rounded,
    settle_biases,
    settle_weight,
    show_rounded,
    unhook,
)
from condenser.errors import ConfigError
from condenser.models import weights

Settings = Mapping[str, Mapping[str, Any]]


@dataclass(eq=False)
class QuantizationAware(Quantization):
    """Every forward pass uses quantised weights and inputs; gradients are straight-through.

    ŵ = s·clamp(round(w/s), low, high) of the parameter w, which the optimiser moves. With ``learn``
    the scales are parameters too (LSQ); else they stay as calibrated (STE). One bit is α·sign(w)
    with α the mean |w| (XNOR), or learned.

    Batch norms train on as they are; at the end each is folded into the scales of the convolution
    before it, which leaves its codes as they are, but for the sign. Zeros of a pruning stay zero
    and codebooks stay codebooks, since what holds them holds w.

    Args:
        learn: learn the scales.
        weights: uniform; or ternary: {-α, 0, α} by threshold (TWN), for 2 bits.
        reestimate: after the last step measure batch norms' means and variances anew, on that many
            training images; 0: they stay as training left them. A thousand are too few: at 2 bits
            their sampling error costs points.

    Sources: Jacob et al., 2018, https://arxiv.org/abs/1712.05877; Esser et al., "Learned Step Size
    Quantization", 2020, https://arxiv.org/abs/1902.08153; Rastegari et al., 2016,
    https://arxiv.org/abs/1603.05279; Li, Liu, 2016, https://arxiv.org/abs/1605.04711
    """

    learn: bool = True
    weights: str = "uniform"
    reestimate: int = 10_000

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.weights not in ("uniform", "ternary"):
            raise ConfigError("quantize.weights", self.weights, "uniform or ternary")
        self.ternary = self.weights == "ternary"
        if self.ternary and (self.bits != 2 or self.affine or self.budget):
            allowed = "uniform, or bits=2 without affine and budget"
            raise ConfigError("quantize.weights", self.weights, allowed)
        if isinstance(self.reestimate, bool) or self.reestimate < 0:
            allowed = "how many training images, as 10000; or 0"
            raise ConfigError("quantize.reestimate", self.reestimate, allowed)

    def prepare(self, model: nn.Module, calibration: CalibrationData | None = None) -> None:
        images, before = self.given(calibration)
        self.settle(model, images, before)
        self.pairs = self.folds(model)
        self.attach_inputs(model.eval(), images, self.learn)
        for name, quantizer in self.quantizers(model, self._settings()).items():
            attach(model.get_submodule(name), quantizer)
        assert calibration is not None
        self.in_parts = calibration.in_parts
        folded = {conv for conv, _ in self.pairs}
        rounded = replace(self.operation(), tensors=[n for n in self.tensors if n not in folded])
        self.operations = [*([FoldBatchNorm(self.pairs)] if self.pairs else []), rounded]

    def _settings(self) -> Settings:
        """Of each layer's quantiser: layers that share a codebook share a scale, which stays."""
        tied = {name for group in self.groups for name in group}
        return {
            name: {"learn": self.learn and name not in tied, "ternary": self.ternary and bits == 2}
            for name, (bits, _) in self.widths.items()
        }

    def kept(self, model: nn.Module, state: State) -> State:
        """What no longer learns: every weight on its grid, batch norms folded."""
        made = copy.deepcopy(model)
        weights.fill(made, state)
        self.convert(made.eval())
        return made.state_dict()

    @torch.no_grad()
    def convert(self, model: nn.Module) -> None:
        """Copy the kept weights and scales into the trained network, in place."""
        if self.reestimate:
            statistics(model, (images for images, _ in self.in_parts(self.reestimate)))
        for name in self.widths:
            layer: Any = model.get_submodule(name)
            settle_weight(layer, layer.weight_quantizer)
            detach(layer)
        for module in model.modules():
            if isinstance(module, InputQuantizer):
                module.settle()
        self.share_inputs(model)
        for conv, norm in self.pairs:
            fold(model, conv, norm, self.widths[conv][0] if conv in self.widths else None)
        settle_biases(model, self.widths)


@torch.no_grad()
def statistics(model: nn.Module, parts: Iterable[Tensor]) -> None:
    """Batch norms' running means and variances as these parts of images give them, on average."""
    norms = [m for m in model.modules() if isinstance(m, _BatchNorm) and m.track_running_stats]
    if not norms:
        return
    usual = [norm.momentum for norm in norms]
    model.eval()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
        norm.train()
    for part in parts:
        model(part.to(next(model.parameters()).device))
    for norm, momentum in zip(norms, usual, strict=True):
        norm.momentum = momentum
    model.eval()


def attach(layer: Any, quantizer: WeightQuantizer) -> None:
    """Attach the weight quantiser to the layer."""
    layer.weight_quantizer = quantizer
    layer.register_forward_pre_hook(show_rounded)
    layer.register_forward_hook(hide_rounded, always_call=True)


def detach(layer: Any) -> None:
    """Remove the weight quantiser used in training."""
    del layer.weight_quantizer
    unhook(layer, show_rounded, hide_rounded)
