"""The operation that pruning leaves behind: zeros that persist in later training."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from condenser.compress.base import Operation, Projection, State
from condenser.compress.layout import follow
from condenser.compress.patterns import matches
from condenser.compress.tables import is_table
from condenser.functional.pruning import pack_bits, unpack_bits


@dataclass(frozen=True)
class Sparse(Operation):
    """The zeros in these layers' weights are structure: they stay zero in later training.

    Stored as a bit a weight and the values of the others, where that is smaller. Layers that a
    later operation has taken away are passed over.
    """

    layers: Sequence[str]

    def encode(self, state: State) -> State:
        packed = dict(state)
        for name in (f"{layer}.weight" for layer in self.layers):
            # Gone, in another operation's code, or packed by a later pruning of the same layer.
            if name not in packed or f"{name}.mask" in packed:
                continue
            weight = packed[name]
            bits, values = pack_bits(weight != 0), weight[weight != 0]
            if bits.nbytes + values.nbytes < weight.nbytes:
                shape = torch.tensor(weight.shape, dtype=torch.int32)
                packed |= {name: values, f"{name}.mask": bits, f"{name}.shape": shape}
        return packed

    def decode(self, state: State) -> State:
        whole = dict(state)
        for name in (f"{layer}.weight" for layer in self.layers):
            if f"{name}.mask" in whole:
                bits, shape = whole.pop(f"{name}.mask"), whole.pop(f"{name}.shape").tolist()
                mask = unpack_bits(bits, math.prod(shape)).view(shape)
                weight = torch.zeros(shape, dtype=whole[name].dtype)
                whole[name] = weight.masked_scatter_(mask, whole[name])
        return whole

    def violations(self, before: State, after: State) -> list[str]:
        """Weights with a zero that became non-zero, or that were replaced."""
        names = [f"{layer}.weight" for layer in self.layers]
        pairs = {n: (before[n], after[n]) for n in names if n in before and n in after}
        torn = [n for n, (was, now) in pairs.items() if bool((now[was == 0] != 0).any())]
        return torn + replaced(self.layers, after)

    def constraint(self, model: nn.Module) -> Projection:
        parameters = dict(model.named_parameters())
        names = [f"{layer}.weight" for layer in self.layers]
        weights = [parameters[name] for name in names if name in parameters]
        return Masks(weights, [w.detach() != 0 for w in weights]).apply


class Masks:
    """Float masks of the kept weights, on the weights' device and in their layout."""

    def __init__(self, weights: Sequence[nn.Parameter], masks: Sequence[Tensor]) -> None:
        self.weights = list(weights)
        self.floats = [mask.to(w.dtype) for mask, w in zip(masks, weights, strict=True)]

    def apply(self) -> None:
        """Zero the dropped weights in place."""
        if self.weights:
            self.floats = follow(self.floats, self.weights)
            torch._foreach_mul_([w.data for w in self.weights], self.floats)

    def kept(self) -> list[Tensor]:
        """A bool mask per weight, True where kept."""
        self.floats = follow(self.floats, self.weights)
        return [mask != 0 for mask in self.floats]


def replaced(layers: Sequence[str], after: State) -> list[str]:
    """The weights of those of the layers that are now several."""
    return [
        f"{layer}.weight"
        for layer in layers
        if f"{layer}.weight" not in after and any(key.startswith(f"{layer}.") for key in after)
    ]


def prunable(model: nn.Module, exclude: Sequence[str] = ()) -> dict[str, nn.Parameter]:
    """Weights of ``weighted`` layers by layer name, but for ``exclude`` (patterns).

    A weight that layers share is there once, under the first of them; one that is ``computed`` from
    other parameters is not.
    """
    found: dict[str, nn.Parameter] = {}
    seen: set[int] = set()
    for name, layer in weighted(model):
        weight = layer._parameters.get("weight")
        if weight is not None and id(weight) not in seen and not matches(name, exclude):
            found[name] = weight
        seen.add(id(weight))
    return found


def computed(model: nn.Module, exclude: Sequence[str] = ()) -> list[str]:
    """Layers whose weight is computed, by weight_norm or a parametrisation."""
    layers = weighted(model)
    return [n for n, m in layers if "weight" not in m._parameters and not matches(n, exclude)]


def weighted(model: nn.Module) -> list[tuple[str, nn.Module]]:
    """Linear and convolution layers, and embeddings of token ids."""
    kinds = (nn.Linear, nn.modules.conv._ConvNd)
    modules = model.named_modules()
    return [(name, layer) for name, layer in modules if isinstance(layer, kinds) or is_table(layer)]


def sparsity(weights: Mapping[str, nn.Parameter]) -> float:
    """Fraction of exact zeros, read from the weights."""
    total = sum(w.numel() for w in weights.values())
    return 1 - sum(int(w.count_nonzero()) for w in weights.values()) / total
