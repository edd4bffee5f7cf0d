"""What a cut network costs, computed before it is made."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from condenser.capture import evaluating, watching
from condenser.compress.channels.attention import Attention
from condenser.compress.groups import IN, OUT, Group, Masks, channels, depthwise, removed
from condenser.measure import compute, size

WEIGHTED = (nn.Linear, nn.modules.conv._ConvNd)


class Cost:
    """MACs of one image and parameters of a network, now and after a cut that is not done yet.

    A layer has out · in · k weights (out · k if depthwise), each met once at every position of its
    output: macs = positions · weights; parameters = weights + out if it has a bias. A batch norm
    has 2 · out parameters. Attention over t tokens adds 2 · t² · (heads · head width). Everything
    else costs what it cost.

    Args:
        image: (1, C, H, W).
    """

    def __init__(self, model: nn.Module, image: Tensor) -> None:
        self.model = model
        self.dense = compute(model, image) | size(model)
        self.positions = positions(model, image)

    def __call__(self, groups: list[Group], masks: Masks) -> dict[str, int]:
        """{macs, params} once the channels that ``masks`` drop are gone."""
        gone = removed(groups, masks)
        lost = {(name, side): len(places) for (name, side), places in gone.items()}
        macs, params = self.dense["macs"], self.dense["params"]
        for name in {name for name, _ in lost}:
            layer = self.model.get_submodule(name)
            outs, ins = lost.get((name, OUT), 0), lost.get((name, IN), 0)
            fewer = weights(layer) - weights(layer, outs, ins)
            params -= fewer + outs * vectors(layer)
            macs -= self.positions.get(name, 0) * fewer
            owner, _, role = name.rpartition(".")
            if (
                role == "out_proj"
            ):  # an attention's products are as wide as what its last layer reads
                macs -= self.positions.get(owner, 0) * ins
        return {"macs": macs, "params": params}


def weights(layer: nn.Module, fewer_out: int = 0, fewer_in: int = 0) -> int:
    """Entries of the weight of a convolution or linear layer with so many channels less."""
    if not isinstance(layer, WEIGHTED):
        return 0
    kernel = layer.weight[0, 0].numel()
    out = channels(layer, OUT) - fewer_out
    return out * kernel * (1 if depthwise(layer) else channels(layer, IN) - fewer_in)


def vectors(layer: nn.Module) -> int:
    """How many parameters a layer has for each channel that it makes, but for its weight matrix."""
    one_a_channel = (p for p in layer.parameters(recurse=False) if p.dim() == 1)
    return sum(len(p) == channels(layer, OUT) for p in one_a_channel)


def positions(model: nn.Module, image: Tensor) -> dict[str, int]:
    """How often each weight is used for one image; of an attention, 2 · tokens²."""
    count: dict[str, int] = {}

    def add(name: str, layer: nn.Module, inputs: tuple[Tensor, ...], output: Any) -> None:
        if isinstance(layer, Attention):
            used = 2 * inputs[0].shape[1] ** 2
        else:
            used = output.numel() // channels(layer, OUT)
        count[name] = count.get(name, 0) + used

    kinds = (*WEIGHTED, Attention)
    names = [name for name, layer in model.named_modules() if isinstance(layer, kinds)]
    with evaluating(model), watching(model, names, add):
        model(image)
    return count


def predicted(model: nn.Module, image: Tensor, groups: list[Group], masks: Masks) -> dict[str, int]:
    """{macs, params} that ``model`` will have once the channels that ``masks`` drop are gone.

    Args:
        image: (1, C, H, W).
        masks: group name → (size,) bool, True where kept.
    """
    return Cost(model, image)(groups, masks)
