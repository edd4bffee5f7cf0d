"""Targets of a quantised network, read back from its weights."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import ceil, log2

from torch import Tensor, nn

from condenser.compress.promises import Promise, at_most, some, values, values_of_a_row
from condenser.compress.quantization.sites import weight_name
from condenser.compress.quantization.widths import Widths


def promised(widths: Widths, budget: int | None) -> list[Promise]:
    """The mean bits of a weight, each layer's bits, and the bytes where they are limited."""
    asked = {name: bits for name, (bits, _) in widths.items()}

    def total(each: Callable[[int, int], float]) -> Callable[[nn.Module, Tensor], float]:
        """Σ over layers of (weights, bits)."""
        return lambda model, _: sum(
            each(weight_of(model, n).numel(), bits_of(model, n, b)) for n, b in asked.items()
        )

    def mean(model: nn.Module, image: Tensor) -> float:
        return total(lambda n, bits: n * bits)(model, image) / total(lambda n, _: n)(model, image)

    most = max(asked.values())
    found = [at_most("bits", most, f"bits a weight of {some(asked)}", mean)]
    for name, bits in asked.items():
        read = partial(read_bits, name=name, bits=bits)
        found.append(at_most("bits", bits, f"bits a weight of {name}", read))
    if budget is not None:
        stored = total(lambda n, bits: -(-n * bits // 8))
        found.append(at_most("budget", budget, f"bytes for the weights of {some(asked)}", stored))
    return found


def read_bits(model: nn.Module, image: Tensor, name: str, bits: int) -> float:
    return bits_of(model, name, bits)


def bits_of(model: nn.Module, name: str, bits: int) -> int:
    """Bits that tell the numbers in a channel apart; of one bit zeros are coded beside it."""
    weight = weight_of(model, name)
    if bits == 1:
        return ceil(log2(max(max(values(row) for row in weight), 2)))
    return max(1, ceil(log2(values_of_a_row(weight))))


def weight_of(model: nn.Module, name: str) -> Tensor:
    layer = model.get_submodule(name)
    return layer.get_parameter(weight_name(layer)).detach()
