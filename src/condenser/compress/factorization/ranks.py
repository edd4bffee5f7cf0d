"""Rank selection per layer: by energy, by ratio, or by a global budget."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from condenser.compress.factorization.kinds import KINDS, ONCE, Layer, Positions
from condenser.errors import ConfigError
from condenser.functional.budget_allocation import Choices, allocate

ROUNDING = 1e-12  # of the energy: what float32 weights hold of a rank that is not there


@dataclass(frozen=True, eq=False)
class RankOption:
    """Cost and kept energy of a layer's possible ranks.

    Attributes:
        kind: key of KINDS.
        sites: where it is applied, if costs are MACs; all 1 if they are parameters.
        moment: of its inputs, or None where its weights alone decide.
    """

    name: str
    layer: Layer
    kind: str
    sites: Positions = ONCE
    moment: Tensor | None = None

    @cached_property
    def weight(self) -> Tensor:
        """(out, in, height, width)."""
        weight = self.layer.weight.detach()
        return weight if weight.ndim == 4 else weight[:, :, None, None]

    @cached_property
    def kept(self) -> Tensor:
        """Share of the energy, one dimension a rank, index r - 1."""
        return KINDS[self.kind].kept(self.weight, self.moment).cpu()

    @cached_property
    def cost(self) -> Tensor:
        """int64, in the shape of ``kept``."""
        axes = [torch.arange(1, n + 1) for n in self.kept.shape]
        grid = torch.meshgrid(*axes, indexing="ij")
        return KINDS[self.kind].cost(self.weight.shape, grid, self.sites)

    @property
    def whole(self) -> int:
        """What the layer costs as it is."""
        return self.weight.numel() * self.sites.output

    def choices(self) -> Choices:
        """Cost and log kept share of all ranks, and last of the whole layer."""
        kept = self.kept.clamp(min=1e-30).log().flatten().tolist()
        return [*self.cost.flatten().tolist(), self.whole], [*kept, 0.0]

    def ranks(self, index: int) -> list[int]:
        """Of an entry of ``kept.flatten()``."""
        return [int(i) + 1 for i in torch.unravel_index(torch.tensor(index), self.kept.shape)]

    def price(self, ranks: Sequence[int]) -> int:
        return KINDS[self.kind].cost(self.weight.shape, ranks, self.sites)

    def fill(self, parts: nn.Module, ranks: Sequence[int]) -> None:
        """Give the layer's stand-in its weights, in factors, and its bias."""
        factors = KINDS[self.kind].factors(self.weight, ranks, self.moment)
        last: Any = None
        for last, weight in zip(parts.children(), factors, strict=True):
            last.weight.copy_(weight.view_as(last.weight))
        if self.layer.bias is not None:
            last.bias.copy_(self.layer.bias)


def the_one(**rules: float | None) -> tuple[str, float]:
    """The rule that is given, and its value.

    Raises:
        ConfigError: none is, or several are, or its value is out of range.
    """
    given = {name: value for name, value in rules.items() if value is not None}
    if len(given) != 1:
        allowed = f"one of {', '.join(rules)}, the others null"
        raise ConfigError("factorize", given or "nothing", allowed)
    ((name, value),) = given.items()
    if name in ("params", "macs") and not 0 < value < 1:
        raise ConfigError(f"factorize.{name}", value, "> 0 and < 1")
    if not 0 < value <= 1:
        raise ConfigError(f"factorize.{name}", value, "> 0 and <= 1")
    return name, float(value)


def by_energy(option: RankOption, energy: float) -> list[int]:
    """The cheapest ranks that keep this share of it."""
    dear = option.cost.max() + 1
    enough = option.kept >= energy - ROUNDING
    return option.ranks(int(torch.where(enough, option.cost, dear).argmin()))


def by_ratio(option: RankOption, ratio: float) -> list[int]:
    """This share of the highest ranks there can be, each at least 1."""
    return [max(1, round(ratio * full)) for full in option.kept.shape]


def by_budget(
    options: Sequence[RankOption], before: int, rule: str, share: float
) -> dict[str, list[int] | None]:
    """Ranks that leave this share of what the whole network costs; None leaves a layer whole.

    What is made large is the product of the shares that the layers keep: none of them is starved.

    Raises:
        ConfigError: rank 1 everywhere leaves more.

    Source of the product: Zhang, Zou, He, Sun, "Accelerating Very Deep Convolutional Networks for
    Classification and Detection", 2016, https://arxiv.org/abs/1505.06798
    """
    rest = before - sum(option.whole for option in options)
    least = rest + sum(min(option.whole, int(option.cost.min())) for option in options)
    budget = math.floor(share * before + 1e-6)  # 0.29 of 100 is 29
    if budget < least:
        allowed = f"{math.ceil(1e4 * least / before) / 1e4} to less than 1"
        hint = f"rank 1 everywhere leaves {least:,} of {before:,}"
        raise ConfigError(f"factorize.{rule}", share, allowed, hint)
    chosen = allocate({option.name: option.choices() for option in options}, budget - rest)
    return {
        option.name: None if i == option.kept.numel() else option.ranks(i)
        for option in options
        for i in [chosen[option.name]]
    }
