"""Weights around a layer whose channels are merged, and its channels' activations."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from condenser.capture import watching
from condenser.compress.groups import IN, OUT, Side
from condenser.compress.merging.chains import Chain


def incoming(model: nn.Module, chain: Chain) -> Tensor:
    """(channels, inputs + 1) weights and bias, as the batch norm behind makes them; float64."""
    layer: Any = model.get_submodule(chain.layer)
    weight = layer.weight.flatten(1).double()
    bias = weight.new_zeros(len(weight)) if layer.bias is None else layer.bias.double()
    if chain.norm is not None:
        norm: Any = model.get_submodule(chain.norm)
        scale, shift = (norm.running_var.double() + norm.eps).rsqrt(), 0
        if norm.weight is not None:
            scale, shift = scale * norm.weight, norm.bias
        weight, bias = weight * scale[:, None], (bias - norm.running_mean) * scale + shift
    return torch.cat([weight, bias[:, None]], dim=1).detach().cpu()


def outgoing(model: nn.Module, chain: Chain) -> Tensor:
    """(outputs, channels, weights of each) of the reader, a view."""
    weight = model.get_parameter(f"{chain.reader}.weight")
    channels = len(model.get_parameter(f"{chain.layer}.weight"))
    return weight.view(len(weight), channels, -1)


@torch.no_grad()
def activations(model: nn.Module, chain: Chain, images: Tensor, batch: int = 256) -> Tensor:
    """(channels, channels) mean products of channels where they are read, over all positions."""
    channels = len(model.get_parameter(f"{chain.layer}.weight"))
    gram, count = torch.zeros(channels, channels, dtype=torch.float64), 0

    def add(_: str, reader: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        nonlocal count
        x = inputs[0].detach().double()
        if isinstance(reader, nn.Linear):
            rows = x.reshape(-1, channels, chain.positions).movedim(1, 2).reshape(-1, channels)
        else:
            rows = x.movedim(1, -1).reshape(-1, channels)
        gram.add_((rows.T @ rows).cpu())
        count += len(rows)

    with watching(model, [chain.reader], add, before=True):
        for part in images.split(batch):
            model(part.to(next(model.parameters()).device))
    return gram / count


def sides(chain: Chain, removed: Tensor) -> dict[Side, Tensor]:
    """Where the removed channels stand in the layer, its batch norm and its reader."""
    places = removed[:, None] * chain.positions + torch.arange(chain.positions)
    gone = {(chain.layer, OUT): removed, (chain.reader, IN): places.flatten()}
    return gone if chain.norm is None else gone | {(chain.norm, OUT): removed}
