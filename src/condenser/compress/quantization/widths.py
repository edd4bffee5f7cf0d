"""Bit widths per layer: uniform, separate for first and last, or from a byte budget."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from condenser.compress.quantization.calibration import Ranges, covered
from condenser.compress.quantization.quantizers import WeightQuantizer
from condenser.compress.quantization.sites import weight_name
from condenser.errors import ConfigError
from condenser.functional.budget_allocation import allocate

Widths = dict[str, tuple[int, int | None]]  # layer → bits of its weight and of its input
OPTIONS = (2, 3, 4, 6, 8)


@dataclass(frozen=True)
class BitConfig:
    """Requested bit widths.

    Attributes:
        bits, activation_bits: of every layer.
        first_last: bits of the first and the last layer, weight and input; None: as the others.
        budget: bytes that all weights together may take, bits by layer as it pays; None: no limit.
    """

    bits: int
    activation_bits: int | None
    first_last: int | None = None
    budget: int | None = None

    def check(self) -> None:
        """ConfigError for bits out of range."""
        asked = {"bits": self.bits, "activation_bits": self.activation_bits}
        for key, value in {**asked, "first_last": self.first_last}.items():
            if value is not None and not 1 <= value <= 8:
                raise ConfigError(f"quantize.{key}", value, "a whole number from 1 to 8")
        if self.budget is not None and self.budget < 1:
            raise ConfigError("quantize.budget", self.budget, "bytes, or null")

    def widths(self, names: Sequence[str], order: Sequence[str]) -> Widths:
        """Bits of each layer; one that is never called has no input to round."""
        found: Widths = {}
        edges = {order[0], order[-1]} if order and self.first_last else set()
        for name in names:
            bits, activations = self.bits, self.activation_bits
            if name in edges:
                assert self.first_last is not None
                bits = max(bits, self.first_last)
                activations = activations and max(activations, self.first_last)
            found[name] = bits, activations if name in order else None
        return found


Loss = Callable[[nn.Module], float]


@torch.no_grad()
def within_budget(
    model: nn.Module, names: Sequence[str], budget: int, loss: Loss, ranges: Ranges
) -> dict[str, int]:
    """Bits of each layer's weight so that all take ``budget`` bytes, and the loss grows little.

    A width is worth what it saves of the loss that the least width costs, each layer rounded alone.

    Args:
        loss: of the model as it is then, on calibration images.

    Raises:
        ConfigError: not even the least width fits.
    """
    costs, worths = {}, {}
    for name in names:
        layer = model.get_submodule(name)
        weight = layer.get_parameter(weight_name(layer))
        costs[name] = [-(-weight.numel() * bits // 8) for bits in OPTIONS]
        worths[name] = [-loss_with(model, weight, bits, loss, ranges) for bits in OPTIONS]
    try:
        chosen = allocate({name: (costs[name], worths[name]) for name in names}, budget)
    except ValueError as error:
        least = sum(cost[0] for cost in costs.values())
        allowed = f"at least {least}: all weights at {OPTIONS[0]} bits"
        raise ConfigError("quantize.budget", budget, allowed) from error
    return {name: OPTIONS[choice] for name, choice in chosen.items()}


def loss_with(
    model: nn.Module, weight: nn.Parameter, bits: int, loss: Loss, ranges: Ranges
) -> float:
    """The loss with this weight quantised to ``bits``."""
    before = weight.detach().clone()
    weight.copy_(rounded(weight, bits, ranges))
    found = loss(model)
    weight.copy_(before)
    return found


def rounded(weight: Tensor, bits: int, ranges: Ranges) -> Tensor:
    """To the nearest of a symmetric grid of each output channel."""
    quantizer = WeightQuantizer(bits, len(weight)).to(weight.device)
    quantizer.cover(weight, *covered(weight.detach().flatten(1), ranges, bits, symmetric=True))
    made: Tensor = quantizer(weight)
    return made


def packed_widths(widths: Widths, bits: int, activation_bits: int | None) -> Mapping[str, list]:
    """Those that differ from the rest, as an operation's JSON."""
    usual = (bits, activation_bits)
    return {name: list(pair) for name, pair in widths.items() if pair != usual}
