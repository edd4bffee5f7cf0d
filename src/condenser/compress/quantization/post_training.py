"""Post-training static quantisation, simulated: every number is one the integer file can hold."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from condenser.compress.base import Operation, Probe, State
from condenser.compress.quantization.base import Quantization
from condenser.compress.quantization.correction import channel_means, correct
from condenser.compress.quantization.equalization import equalize
from condenser.compress.quantization.operation import FoldBatchNorm
from condenser.compress.quantization.quantizers import settle_weight
from condenser.compress.quantization.rounding import learn_rounding
from condenser.errors import ConfigError


class PostTraining(Quantization):
    """Round weights (and activations) of a trained network, with ranges seen on training images.

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

    def __init__(
        self,
        *args: Any,
        equalize: bool = False,
        rounding: str = "nearest",
        correct_bias: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        if rounding not in ("nearest", "adaptive"):
            raise ConfigError("quantize.rounding", rounding, "nearest or adaptive")
        if rounding == "adaptive" and self.wish.bits == 1:
            raise ConfigError("quantize.rounding", rounding, "nearest with 1 bit: a sign is a sign")
        self.equalize, self.rounding, self.correct_bias = equalize, rounding, correct_bias
        self.operations: list[Operation] = []

    def __call__(
        self, model: nn.Module, images: Tensor, before: Sequence[Operation] = ()
    ) -> list[Operation]:
        """Quantise ``model`` in place; ``images`` (n, C, H, W) are normalised training images.

        Args:
            before: operations that made the model what it is.

        Returns:
            What was done, to be replayed.
        """
        with torch.no_grad():
            self._quantize(model.eval(), images, before)
        return self.operations

    def _quantize(self, model: nn.Module, images: Tensor, before: Sequence[Operation]) -> None:
        self.settle(model, images, before)
        pairs = self.folds(model)
        fold = FoldBatchNorm(pairs)
        fold.apply(model)
        if self.equalize:
            equalize(model, [name for name in self.widths if name not in self.shared])
        named = list(self.widths)
        means = channel_means(model, named, images) if self.correct_bias else {}
        quantizers, exact = self.quantizers(model), copy.deepcopy(model)
        self.attach_inputs(model, images)
        if self.rounding == "adaptive":
            free = {n: q for n, q in quantizers.items() if n not in self.shared and q.bits > 1}
            learn_rounding(model, exact, free, images)
        for name, quantizer in quantizers.items():
            settle_weight(model.get_submodule(name), quantizer)
        if self.correct_bias:
            correct(model, means, images)
        self.operations = [*([fold] if pairs else []), self.operation()]

    def prepare(self, model: nn.Module, probe: Probe | None = None) -> None:
        images, before = self.given(probe)
        self(model, images, before)

    def step(self, progress: float) -> None:
        """Nothing is trained."""

    @property
    def ready(self) -> bool:
        return True

    def state(self) -> State:
        return {}

    def restore(self, state: State) -> None:
        """Nothing is trained."""

    def finish(self) -> list[Operation]:
        return self.operations
