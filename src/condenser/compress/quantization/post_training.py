"""Simulated post-training static quantisation, with exactly the integer file's values."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from condenser.compress.base import CalibrationData, Operation
from condenser.compress.quantization.base import Quantization
from condenser.compress.quantization.correction import channel_means, correct
from condenser.compress.quantization.equalization import equalize
from condenser.compress.quantization.operation import FoldBatchNorm
from condenser.compress.quantization.quantizers import settle_biases, settle_weight
from condenser.compress.quantization.rounding import learn_rounding
from condenser.errors import ConfigError


@dataclass(eq=False)
class PostTraining(Quantization):
    """Quantise weights (and activations) of a trained network, calibrated on training images.

    Batch norm is folded first, as the deployed graph does. Nothing is trained afterwards.

    Args:
        equalize: scale channels up in a layer and down in its reader where only a ReLU is between
            them, until both have equal ranges: for a scale per tensor, or depthwise networks.
        rounding: nearest; or adaptive: up or down, whichever keeps the layer's outputs, learned
            layer by layer.
        correct_bias: take from each bias what rounding added to its channel's mean output.

    Sources: Jacob et al., "Quantization and Training of Neural Networks for Efficient
    Integer-Arithmetic-Only Inference", 2018, https://arxiv.org/abs/1712.05877; Nagel et al.,
    "Data-Free Quantization Through Weight Equalization and Bias Correction", 2019,
    https://arxiv.org/abs/1906.04721; Nagel et al., "Up or Down? Adaptive Rounding for Post-Training
    Quantization", 2020, https://arxiv.org/abs/2004.10568
    """

    trains: ClassVar[bool] = False

    equalize: bool = False
    rounding: str = "nearest"
    correct_bias: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.rounding not in ("nearest", "adaptive"):
            raise ConfigError("quantize.rounding", self.rounding, "nearest or adaptive")
        if self.rounding == "adaptive" and self.bits == 1:
            allowed = "nearest with 1 bit: a sign is a sign"
            raise ConfigError("quantize.rounding", self.rounding, allowed)

    def prepare(self, model: nn.Module, calibration: CalibrationData | None = None) -> None:
        self(model, *self.given(calibration))

    @torch.no_grad()
    def __call__(
        self, model: nn.Module, images: Tensor, before: Sequence[Operation] = ()
    ) -> list[Operation]:
        """Quantise ``model`` in place; ``images`` (n, C, H, W) are normalised training images.

        Args:
            before: operations that made the model what it is.

        Returns:
            What was done, to be replayed.
        """
        self.settle(model.eval(), images, before)
        fold = FoldBatchNorm(self.folds(model))
        fold.apply(model)
        if self.equalize:
            equalize(model, [n for n in self.widths if n not in self.shared | self.tables])
        named = [name for name in self.widths if name not in self.tables]
        means = channel_means(model, named, images) if self.correct_bias else {}
        quantizers, exact = self.quantizers(model), copy.deepcopy(model)
        self.attach_inputs(model, images)
        self.share_inputs(model)
        if self.rounding == "adaptive":
            kept = self.shared | self.tables
            free = {n: q for n, q in quantizers.items() if n not in kept and q.bits > 1}
            learn_rounding(model, exact, free, images)
        for name, quantizer in quantizers.items():
            settle_weight(model.get_submodule(name), quantizer)
        if self.correct_bias:
            correct(model, means, images)
        settle_biases(model, self.widths)
        self.operations = [*([fold] if fold.pairs else []), self.operation()]
        return self.operations
