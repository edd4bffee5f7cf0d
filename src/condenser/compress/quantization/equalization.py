"""Cross-layer equalisation: rescale channels between a layer and its consumer."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import torch
from torch import nn

from condenser.compress.merging.chains import chains

ROUNDS = 20
CLOSE = 1e-3  # relative change of the scales at which the rounds end


@torch.no_grad()
def equalize(model: nn.Module, names: Collection[str]) -> list[tuple[str, str]]:
    """Give each channel the same range in the layer that makes it and in the one that reads it.

    For layers W₁ then W₂ with only positively homogeneous functions between them (ReLU, pooling)
    and channel ranges r₁, r₂ (max |w|): s = √(r₁·r₂)/r₂, W₁ and its bias /s, W₂·s, in turn over all
    such pairs until nothing changes. The network computes what it did.

    Args:
        names: layers that may be scaled; batch norms are folded already.

    Returns:
        The pairs that were scaled.

    Source: Nagel, van Baalen, Blankevoort, Welling, 2019, https://arxiv.org/abs/1906.04721
    """
    found, _ = chains(model)
    pairs = [
        (chain.layer, chain.reader, chain.positions)
        for chain in found
        if chain.slope is not None
        and chain.norm is None
        and {chain.layer, chain.reader} <= {*names}
    ]
    for _ in range(ROUNDS):
        moves = [scale_pair(model, *pair) for pair in pairs]
        if max(moves, default=0.0) < CLOSE:
            break
    return [(layer, reader) for layer, reader, _ in pairs]


def scale_pair(model: nn.Module, layer_name: str, reader_name: str, positions: int) -> float:
    """One pair; the largest relative change of a channel."""
    layer: Any = model.get_submodule(layer_name)
    reader: Any = model.get_submodule(reader_name)
    channels = len(layer.weight)
    made = layer.weight.abs().flatten(1).amax(1)
    # (outputs, channels, positions of one channel in a flattened input, kernel)
    read = reader.weight.view(len(reader.weight), channels, positions, -1)
    taken = read.abs().amax((0, 2, 3))
    alive = (made > 0) & (taken > 0)
    scale = torch.where(alive, torch.sqrt(made / taken.clamp(min=1e-30)), torch.ones_like(made))
    layer.weight.div_(scale.view(-1, *[1] * (layer.weight.dim() - 1)))
    if layer.bias is not None:
        layer.bias.div_(scale)
    read.mul_(scale.view(1, -1, 1, 1))
    return (scale - 1).abs().max().item()
