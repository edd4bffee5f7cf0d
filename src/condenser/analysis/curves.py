"""Sensitivity curves, and pruning rates derived from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

from condenser.errors import ConfigError


class Score(NamedTuple):
    """accuracy: fraction of correct decisions; loss: mean over the samples."""

    accuracy: float
    loss: float


@dataclass(frozen=True)
class Curve:
    """Scores of the network with one unit pruned; JSON-serialisable values.

    Attributes:
        unit: its name.
        layers: whose weights it prunes.
        size: how many weights or channels it has.
        rates: pruned fractions, ascending; the first is 0, the unpruned network.
        accuracy, loss: at each rate.
    """

    unit: str
    layers: Sequence[str]
    size: int
    rates: Sequence[float]
    accuracy: Sequence[float]
    loss: Sequence[float]

    @property
    def drops(self) -> list[float]:
        """Accuracy drop at each rate; negative for a gain."""
        return [self.accuracy[0] - accuracy for accuracy in self.accuracy]

    def passes(self, max_drop: float) -> bool:
        """Whether the drop exceeds ``max_drop`` at any rate."""
        return max(self.drops) > max_drop

    def rate_within(self, max_drop: float) -> float:
        """The rate at which the drop first passes ``max_drop``, on straight lines between rates.

        What comes after the first crossing does not count, even if accuracy recovers there. The
        last measured rate where no drop passes; nothing is said beyond.
        """
        points = list(zip(self.rates, self.drops, strict=True))
        for (rate, drop), (next_rate, next_drop) in pairwise(points):
            if next_drop > max_drop:
                return rate + (next_rate - rate) * (max_drop - drop) / (next_drop - drop)
        return self.rates[-1]

    @property
    def mean_drop(self) -> float:
        """∫ drop d(rate) by trapezoids, over the width of the curve."""
        points = list(zip(self.rates, self.drops, strict=True))
        area = sum((b - a) * (p + q) / 2 for (a, p), (b, q) in pairwise(points))
        return area / (self.rates[-1] - self.rates[0])


def rates_for(curves: Sequence[Curve], max_drop: float) -> dict[str, float]:
    """Layer → the rate at which pruning that layer alone costs ``max_drop`` of accuracy.

    For ``prune.scope.rates``. Layers that could not be measured are missing. Drops of layers pruned
    together add up, or worse: fine-tune, or choose a smaller ``max_drop``.

    Args:
        max_drop: of accuracy, a fraction: 0.01 is one percentage point.

    Raises:
        ConfigError: max_drop below 0 or above 1.
    """
    if not 0 <= max_drop <= 1:
        raise ConfigError("max_drop", max_drop, "a fraction from 0 to 1: 0.01 is a point")
    return {layer: round(c.rate_within(max_drop), 6) for c in curves for layer in c.layers}


def rank(curves: Sequence[Curve]) -> list[tuple[str, float]]:
    """Units from most to least sensitive, with the mean drop of each over its rates."""
    return sorted(((c.unit, c.mean_drop) for c in curves), key=lambda pair: (-pair[1], pair[0]))
