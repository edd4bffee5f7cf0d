"""Quantisation-aware training: the network learns with its rounding."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from condenser.compress.base import Operation, Probe, State
from condenser.compress.quantization.base import Quantization
from condenser.compress.quantization.calibration import BATCH
from condenser.compress.quantization.folding import fold
from condenser.compress.quantization.operation import FoldBatchNorm
from condenser.compress.quantization.quantizers import (
    InputQuantizer,
    hide_rounded,
    settle_weight,
    show_rounded,
)
from condenser.errors import ConfigError

Settings = Mapping[str, Mapping[str, Any]]


class QuantizationAware(Quantization):
    """Every forward pass sees rounded weights and inputs; gradients pass straight through.

    ŵ = s·clamp(round(w/s), low, high) of the parameter w, which the optimiser moves. With ``learn``
    the scales are parameters too (LSQ); else they stay as calibrated (STE). One bit is α·sign(w)
    with α the mean |w| (XNOR), or learned.

    Batch norms train on as they are; at the end each is folded into the scales of the convolution
    before it, which leaves its codes as they are, but for the sign. Zeros of a pruning stay zero
    and codebooks stay codebooks, since what holds them holds w.

    Args:
        learn: learn the scales.
        weights: uniform; or ternary: {-α, 0, α} by threshold (TWN), for 2 bits.
        reestimate: measure batch norms' means and variances anew, on ``images`` training images,
            after the last step.

    Sources: Jacob et al., 2018, https://arxiv.org/abs/1712.05877; Esser et al., "Learned Step Size
    Quantization", 2020, https://arxiv.org/abs/1902.08153; Rastegari et al., 2016,
    https://arxiv.org/abs/1603.05279; Li, Liu, 2016, https://arxiv.org/abs/1605.04711
    """

    def __init__(
        self,
        *args: Any,
        learn: bool = True,
        weights: str = "uniform",
        reestimate: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        if weights not in ("uniform", "ternary"):
            raise ConfigError("quantize.weights", weights, "uniform or ternary")
        self.ternary, self.learn, self.reestimate = weights == "ternary", learn, reestimate
        if self.ternary and (self.wish.bits != 2 or self.affine or self.wish.budget):
            allowed = "uniform, or bits=2 without affine and budget"
            raise ConfigError("quantize.weights", weights, allowed)

    def prepare(self, model: nn.Module, probe: Probe | None = None) -> None:
        images, before = self.given(probe)
        self.settle(model, images, before)
        self.pairs = self.folds(model)
        self.attach_inputs(model.eval(), images, self.learn)
        tied = {name for group in self.groups for name in group}
        for name, quantizer in self.quantizers(model, self._settings(tied)).items():
            layer: Any = model.get_submodule(name)
            layer.weight_quantizer = quantizer
            layer.register_forward_pre_hook(show_rounded)
            layer.register_forward_hook(hide_rounded, always_call=True)
        assert probe is not None
        self.sample = probe.sample

    def _settings(self, tied: set[str]) -> Settings:
        """Of each layer's quantiser: layers that share a codebook share a scale, which stays."""
        return {
            name: {"learn": self.learn and name not in tied, "ternary": self.ternary and bits == 2}
            for name, (bits, _) in self.widths.items()
        }

    def step(self, progress: float) -> None:
        """Nothing: what rounds is part of the network."""

    @property
    def ready(self) -> bool:
        return True

    def state(self) -> State:
        return {}

    def restore(self, state: State) -> None:
        """Scales are the network's parameters."""

    @torch.no_grad()
    def convert(self, model: nn.Module) -> None:
        if self.reestimate:
            statistics(model, self.sample(self.images)[0])
        for name in self.widths:
            layer: Any = model.get_submodule(name)
            settle_weight(layer, layer.weight_quantizer)
            detach(layer)
            if hasattr(layer, "input_quantizer"):
                settle_input(layer)
        for conv, norm in self.pairs:
            fold(model, conv, norm, self.widths[conv][0] if conv in self.widths else None)

    def finish(self) -> list[Operation]:
        folded = {conv for conv, _ in self.pairs}
        kept = replace(self.operation(), tensors=[n for n in self.tensors if n not in folded])
        return [*([FoldBatchNorm(self.pairs)] if self.pairs else []), kept]


@torch.no_grad()
def statistics(model: nn.Module, images: Tensor) -> None:
    """Batch norms' running means and variances as these images give them, all weighing alike."""
    norms = [m for m in model.modules() if isinstance(m, _BatchNorm) and m.track_running_stats]
    if not norms:
        return
    usual = [norm.momentum for norm in norms]
    model.eval()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
        norm.train()
    for part in images.tensor_split(-(-len(images) // BATCH)):  # parts of one size
        model(part.to(next(model.parameters()).device))
    for norm, momentum in zip(norms, usual, strict=True):
        norm.momentum = momentum
    model.eval()


def detach(layer: Any) -> None:
    """Take away what rounds the weight while it trains."""
    del layer.weight_quantizer
    for hooks, mine in (
        (layer._forward_pre_hooks, show_rounded),
        (layer._forward_hooks, hide_rounded),
    ):
        for key in [key for key, hook in hooks.items() if hook is mine]:
            del hooks[key]


def settle_input(layer: Any) -> None:
    """The same for what rounds its input: the scale is no parameter any more."""
    learnt = layer.input_quantizer
    kept = InputQuantizer(learnt.bits).to(learnt.scale.device)
    kept.load_state_dict(learnt.state_dict())
    kept.scale.copy_(kept.scale.abs())
    layer.input_quantizer = kept
