"""The operations that quantisation leaves behind, and their storage."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from condenser.compress.base import Operation, State
from condenser.compress.quantization.quantizers import (
    InputQuantizer,
    round_input,
    round_output,
)
from condenser.compress.quantization.sites import weight_name
from condenser.functional.quantization import along_channels


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
            model.set_submodule(norm, nothing(layers[1]))


def nothing(norm: Any) -> nn.Module:
    """What stands where a batch norm was: what rounded its output does so still."""
    made = nn.Identity()
    if hasattr(norm, "output_quantizer"):
        round_output(made, norm.output_quantizer)
    return made


@dataclass(frozen=True)
class Quantized(Operation):
    """These layers' weights are s·q, or s·(q - z), of few bits; stored as integer codes q.

    The scale is of each output channel, or of the whole weight for the layers in ``tensors``. One
    bit is the scaled sign, q = ±1; where a weight was pruned q is 0, of any bits. With
    ``activation_bits`` layers' inputs are rounded too, to an affine grid per tensor; with 8 also
    what these modules give that goes elsewhere than into a layer: sums of branches, pooled maps.

    Attributes:
        widths: layer → its own [bits, activation_bits], where they differ.
        affine: weights have a zero point z.
        images: training images that ranges were seen on.
        from_zero: codes of a weight with a zero point are stored as q - z, modulo 2^bits: a zero is
            0 then, which a mask or a codebook codes apart.
        outputs: modules whose output is rounded.
        tied: layer → the name that its weight is stored under, where that is another's.
    """

    layers: Sequence[str]
    bits: int
    activation_bits: int | None
    images: int
    widths: Mapping[str, Sequence[int | None]] = field(default_factory=dict)
    tensors: Sequence[str] = field(default_factory=list)
    affine: bool = False
    from_zero: bool = False
    outputs: Sequence[str] = field(default_factory=list)
    tied: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        data = super().to_json()
        return {k: v for k, v in data.items() if v or k not in ("outputs", "tied")}

    def bits_of(self, layer: str) -> tuple[int, int | None]:
        """Bits of a layer's weights and of its input."""
        bits, activation_bits = self.widths.get(layer, (self.bits, self.activation_bits))
        return bits or self.bits, activation_bits

    def apply(self, model: nn.Module) -> None:
        for name in self.layers:
            layer = model.get_submodule(name)
            weight = layer.get_parameter(weight_name(layer))
            shape = () if name in self.tensors else (weight.shape[0],)
            layer.register_buffer("weight_scale", torch.ones(shape))
            if self.affine:
                layer.register_buffer("weight_zero_point", torch.zeros(shape))
            if activation_bits := self.bits_of(name)[1]:
                round_input(layer, InputQuantizer(activation_bits))
        for name in self.outputs:
            round_output(model.get_submodule(name), InputQuantizer(8))

    def encode(self, state: State) -> State:
        coded = dict(state)
        for key, weight, scale, zero, count in self._weights(state):
            kind = torch.int8 if zero is None else torch.uint8
            q = torch.round(weight / scale)
            if zero is not None:
                q = q.remainder(count) if self.from_zero else q + zero
            coded[key] = q.to(kind)
        return coded

    def decode(self, state: State) -> State:
        whole = dict(state)
        for key, codes, scale, zero, count in self._weights(state):
            q = codes.float()
            if zero is not None:
                q = ((q + zero).remainder(count) if self.from_zero else q) - zero
            whole[key] = q * scale
        return whole

    def _weights(self, state: State) -> Iterator[tuple[str, Tensor, Tensor, Tensor | None, int]]:
        """Of the layers that are still there: a later operation may have taken some away."""
        for name in self.layers:
            for key in (f"{name}.weight", f"{name}.in_proj_weight", self.tied.get(name)):
                if key in state:
                    scales = (f"{name}.weight_scale", f"{name}.weight_zero_point")
                    grid = (along_channels(state[k], state[key]) for k in scales if k in state)
                    yield key, state[key], next(grid), next(grid, None), 2 ** self.bits_of(name)[0]
