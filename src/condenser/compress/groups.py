"""Channel groups: the slices of all layers that must be removed together with a channel."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

OUT, IN = "out", "in"
Side = tuple[str, str]  # (layer, "out" or "in")
ROOTS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)  # layers that make channels


@dataclass(frozen=True)
class Slice:
    """A group's channels in one dimension of one layer.

    Attributes:
        layer: its name in the network.
        side: "out", what the layer makes (a batch norm too), or "in", what it reads.
        position: (m,) places in that dimension.
        channel: (m,) the group's channel that each place belongs to. A linear layer behind a
            flattened map has several places for one channel.
    """

    layer: str
    side: str
    position: Tensor
    channel: Tensor


@dataclass(frozen=True)
class Group:
    """``size`` channels that are cut together, each from all ``slices``; ``name``: the first layer.

    Channel c of layer A that is added to channel c of layer B is one channel, not two.
    """

    name: str
    size: int
    slices: tuple[Slice, ...]


Masks = Mapping[str, Tensor]  # group name → (size,) bool, True where kept


def removed(groups: list[Group], masks: Masks) -> dict[Side, Tensor]:
    """Indices to remove from each layer's dimensions; groups without a mask stay whole."""
    found: dict[Side, list[Tensor]] = {}
    for group in groups:
        if group.name not in masks:
            continue
        gone = ~masks[group.name].cpu()
        for part in group.slices:
            places = part.position[gone[part.channel]]
            found.setdefault((part.layer, part.side), []).append(places)
    joined = {side: torch.cat(places).unique() for side, places in found.items()}
    return {side: places for side, places in joined.items() if len(places)}


def own_tensors(layer: nn.Module) -> Iterator[tuple[dict[str, Any], str, Tensor]]:
    """(dictionary that holds it, name, tensor) of a layer's own parameters and buffers."""
    for holder in (layer._parameters, layer._buffers):
        for name, tensor in list(holder.items()):
            if tensor is not None:
                yield holder, name, tensor


def tensors_of(layer: nn.Module, side: str) -> Iterator[tuple[dict[str, Any], str, Tensor, int]]:
    """The same, with the dimension that ``side`` runs along, where a tensor has it.

    What a layer makes is the first dimension of all it owns (weight, bias, running mean, scales
    per channel); what it reads is the second of its weight.
    """
    width = channels(layer, side)
    for holder, name, tensor in own_tensors(layer):
        if side == IN and name == "weight":
            yield holder, name, tensor, 1
        elif side == OUT and tensor.dim() and tensor.shape[0] == width:
            yield holder, name, tensor, 0


def channels(layer: nn.Module, side: str) -> int:
    """Number of output or input channels of a layer."""
    for names in WIDTHS.values():
        if hasattr(layer, names[side]):
            return int(getattr(layer, names[side]))
    raise TypeError(f"a {type(layer).__name__} has no channels")


# Attributes that hold a layer's own shape, by layer type.
WIDTHS: dict[type[nn.Module], dict[str, str]] = {
    nn.Linear: {OUT: "out_features", IN: "in_features"},
    nn.modules.conv._ConvNd: {OUT: "out_channels", IN: "in_channels"},
    nn.modules.batchnorm._BatchNorm: {OUT: "num_features", IN: "num_features"},
    nn.PReLU: {OUT: "num_parameters", IN: "num_parameters"},
}


def depthwise(layer: nn.Module) -> bool:
    """Whether a convolution is depthwise: one filter per channel."""
    if not isinstance(layer, nn.modules.conv._ConvNd):
        return False
    return layer.groups == layer.in_channels == layer.out_channels > 1


def zero(model: nn.Module, gone: Mapping[Side, Tensor]) -> None:
    """Zero, in place, every weight, bias, scale and shift that a cut of ``gone`` would remove."""
    with torch.no_grad():
        for (name, side), places in gone.items():
            layer = model.get_submodule(name)
            for holder, _, tensor, dim in tensors_of(layer, side):
                if holder is layer._parameters:
                    tensor.index_fill_(dim, places.to(tensor.device), 0)
