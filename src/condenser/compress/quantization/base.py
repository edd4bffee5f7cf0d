"""Shared by post-training quantisation and quantisation-aware training."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from condenser.capture import evaluating
from condenser.compress.base import AtOnce, CalibrationData, Operation, Patterns
from condenser.compress.patterns import listed
from condenser.compress.promises import Promise
from condenser.compress.quantization.calibration import (
    BATCH,
    Ranges,
    check_ranges,
    covered,
    input_ranges,
    output_ranges,
)
from condenser.compress.quantization.operation import Quantized
from condenser.compress.quantization.promised import promised
from condenser.compress.quantization.quantizers import (
    InputQuantizer,
    WeightQuantizer,
    round_input,
    round_output,
)
from condenser.compress.quantization.sites import quantizable, running_order, weight_name
from condenser.compress.quantization.tracing import foldable, rounded_outputs
from condenser.compress.quantization.widths import BitConfig, Widths, packed_widths, within_budget
from condenser.compress.sharing import Shared
from condenser.compress.tables import is_table
from condenser.errors import ConfigError
from condenser.models.weights import aliases


@dataclass(eq=False)
class Quantization(AtOnce):
    """Quantise weights and layer inputs.

    Layers whose weights come from a codebook get one scale for the whole weight, and their batch
    norms are not folded, so that equal weights stay equal. So do embeddings of token ids, whose
    rows are short; they have no input to round.

    Args:
        bits: of a weight, 1 to 8.
        activation_bits: of a layer's input, 1 to 8, or None to leave activations in float.
        images: how many training images to look at.
        exclude: patterns of layer names left in float.
        per_channel: a scale for each output channel; false: one for the whole weight.
        affine: weights have a zero point; false: codes are as many below as above zero.
        ranges: minmax; mse: the share of it with the least error; or a percentile, as 99.9.
        first_last: at least so many bits for the first and the last layer; None: as the others.
        budget: bytes for all weights, bits by layer as it pays, ``bits`` aside; None: no limit.

    Raises:
        ConfigError: bits or ranges out of range; in ``check``, no layer to quantise; in
            ``prepare``, no training images, or a budget that the fewest bits do not meet.
    """

    bits: int = 8
    activation_bits: int | None = 8
    images: int = 1024
    exclude: Sequence[str] = ()
    per_channel: bool = True
    affine: bool = False
    ranges: Ranges = "minmax"
    first_last: int | None = None
    budget: int | None = None

    def __post_init__(self) -> None:
        super().__init__()
        self.wish = BitConfig(self.bits, self.activation_bits, self.first_last, self.budget)
        self.wish.check()
        check_ranges(self.ranges)
        self.exclude = listed("quantize.exclude", self.exclude)
        if self.affine and self.bits == 1:
            raise ConfigError("quantize.affine", "true", "false with 1 bit: ±α has no zero point")
        self.widths: Widths = {}
        self.tied: dict[str, str] = {}  # layers whose weight is stored under another's name
        self.between: dict[str, list[str]] = {}  # modules whose output is rounded → who reads it

    def named(self, model: nn.Module, image: Tensor | None) -> dict[str, Patterns]:
        return {"quantize.exclude": (self.exclude, quantizable(model))}

    def check(self, model: nn.Module, image: Tensor) -> None:
        quantizable(model, self.exclude)

    def given(self, calibration: CalibrationData | None) -> tuple[Tensor, Sequence[Operation]]:
        """Training images, and what was done to the network before."""
        if calibration is None:
            allowed = "training images to find ranges with; there are none"
            raise ConfigError("quantize.images", self.images, allowed)
        return calibration.sample(self.images)[0], calibration.operations

    def settle(self, model: nn.Module, images: Tensor, before: Sequence[Operation]) -> None:
        """Choose layers, their bits, and which of them keep a codebook."""
        self.seen = len(images)
        if not before:
            self.refuse_unmatched(model, images[:1])
        names = quantizable(model, self.exclude)
        shared = {name for op in before if isinstance(op, Shared) for name in op.layers}
        tables = {name for name in names if is_table(model.get_submodule(name))}
        whole = [n for n in names if not self.per_channel or n in shared or n in tables]
        self.tensors, self.shared, self.tables = whole, shared, tables
        across = [op for op in before if isinstance(op, Shared) and op.across]
        self.groups = [[name for name in op.layers if name in names] for op in across]
        self.widths = self.wish.widths(names, running_order(model, names, images))
        if self.budget is not None:
            chosen = within_budget(model, names, self.budget, departure(model, images), self.ranges)
            self.widths = {n: (chosen[n], pair[1]) for n, pair in self.widths.items()}
        self.widths |= {name: (self.widths[name][0], None) for name in tables}
        self.reached = list(self.widths)
        first = aliases(model)
        keys = {name: f"{name}.{weight_name(model.get_submodule(name))}" for name in self.widths}
        self.tied = {name: first[key] for name, key in keys.items() if key in first}
        for group in self.groups:  # one codebook: one grid
            most = max(self.widths[name][0] for name in group)
            self.widths |= {name: (most, self.widths[name][1]) for name in group}

    def folds(self, model: nn.Module) -> list[tuple[str, str]]:
        """Batch norms that go into the convolutions before them."""
        return [pair for pair in foldable(model) if pair[0] not in self.shared]

    def quantizers(
        self, model: nn.Module, settings: Mapping[str, Mapping[str, Any]] | None = None
    ) -> dict[str, WeightQuantizer]:
        """Of each layer what rounds its weight, covering it as it is."""
        found = {}
        for name, (bits, _) in self.widths.items():
            layer, whole = model.get_submodule(name), name in self.tensors
            weight = layer.get_parameter(weight_name(layer))
            own = (settings or {}).get(name, {})
            channels = None if whole else len(weight)
            found[name] = WeightQuantizer(bits, channels, self.affine, **own).to(weight.device)
            rows = weight.detach().reshape(1 if whole else len(weight), -1)
            found[name].cover(weight, *covered(rows, self.ranges, bits, not self.affine))
        for group in self.groups:
            scale = torch.stack([found[name].scale for name in group]).max()
            for name in group:
                found[name].scale.copy_(scale)
        return found

    def attach_inputs(self, model: nn.Module, images: Tensor, learn: bool = False) -> None:
        """Give every layer whose input is to be rounded what rounds it, ranges as seen.

        With 8 bits what lies between layers is rounded too, where an engine would leave the
        integers; a layer that reads it has nothing of its own to round before ``share_inputs``.

        ``learn``: scales are parameters; but for the layer that sees the images, whose range is
        known: it would have to compute a gradient that no one else needs.
        """
        bits = {name: pair[1] for name, pair in self.widths.items() if pair[1] is not None}
        if not bits:
            return
        seen = input_ranges(model, list(bits), images, bits, self.ranges)
        self.between = rounded_outputs(model, list(seen)) if self.activation_bits == 8 else {}
        ends = output_ranges(model, self.between, images, self.ranges)
        first = next(iter(seen))
        taken = {reader for readers in self.between.values() for reader in readers}
        for name in seen.keys() - taken:
            quantizer = covering(bits[name], seen[name], learn and name != first)
            round_input(model.get_submodule(name), quantizer)
        for name, readers in self.between.items():
            span = seen[readers[0]] if readers else ends[name]
            round_output(model.get_submodule(name), covering(8, span, learn))

    def share_inputs(self, model: nn.Module) -> None:
        """Layers that read what is rounded where it is made round it so, too."""
        for name, readers in self.between.items():
            made: Any = model.get_submodule(name)
            for reader in readers:
                round_input(model.get_submodule(reader), copy.deepcopy(made.output_quantizer))

    def promises(self) -> list[Promise]:
        return promised(self.widths, self.budget)

    def operation(self) -> Quantized:
        usual = self.bits, self.activation_bits
        return Quantized(
            list(self.widths),
            *usual,
            self.seen,
            packed_widths(self.widths, *usual),
            self.tensors,
            self.affine,
            from_zero=self.affine,
            outputs=list(self.between),
            tied=self.tied,
        )


def covering(bits: int, span: tuple[Tensor, Tensor], learn: bool) -> InputQuantizer:
    """What rounds values from low to high."""
    quantizer = InputQuantizer(bits, learn).to(span[0].device)
    quantizer.cover(*span)
    return quantizer


def departure(model: nn.Module, images: Tensor) -> Any:
    """model → how far its answers on the images are from what they are now: mean KL."""

    def answers(network: nn.Module) -> Tensor:
        with evaluating(network):
            logits = torch.cat([network(part) for part in images.split(BATCH)])
        return functional.log_softmax(logits, 1)

    now = answers(model)
    return lambda other: functional.kl_div(
        answers(other), now, reduction="batchmean", log_target=True
    ).item()
