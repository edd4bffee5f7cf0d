"""Search spaces: per setting a list of values or an interval."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from condenser.errors import ConfigError

Value = str | int | float | bool | None
DIGITS = 4  # significant digits of a continuous value, as in run names


@dataclass(frozen=True)
class Choice:
    """A categorical choice."""

    values: tuple[Value, ...]

    def clean(self, value: Any) -> Value:
        return value  # type: ignore[no-any-return]

    def ends(self) -> Sequence[Value]:
        """Values to validate the choice with."""
        return self.values

    def all(self) -> Sequence[Value] | None:
        return self.values


@dataclass(frozen=True)
class Interval:
    """A number in [``low``, ``high``]; integer if both and ``step`` are.

    Args:
        step: only low, low + step, …; None: continuous, to four digits.
        log: sample on a log scale.
    """

    low: float
    high: float
    step: float | None = None
    log: bool = False

    @property
    def whole(self) -> bool:
        return all(isinstance(n, int) for n in (self.low, self.high, self.step or 1))

    def check(self, key: str) -> None:
        """Raises ConfigError naming ``key`` if the interval is invalid."""
        shown = f"interval({self.low},{self.high})"
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low <= self.high):
            raise ConfigError(key, shown, "two finite numbers, the lesser first")
        if self.log and (self.low <= 0 or self.step is not None):
            raise ConfigError(key, shown, "on a log scale an interval above 0, without steps")

    def clean(self, value: Any) -> Value:
        """Optuna's number, rounded to the digits in use."""
        if self.whole:
            return int(value)
        rounded = float(f"{value:.{DIGITS}g}")
        return min(max(rounded, self.low), self.high)

    def ends(self) -> Sequence[Value]:
        return tuple(dict.fromkeys((self.low, self.high)))

    def all(self) -> Sequence[Value] | None:
        """All values; None if continuous."""
        if self.low == self.high:
            return (self.low,)
        if self.step is None and not self.whole:
            return None
        step = self.step or 1
        count = math.floor((self.high - self.low) / step + 1e-9) + 1
        return [self.clean(self.low + step * place) for place in range(count)]


Space = Mapping[str, Choice | Interval]


def points(space: Space) -> Iterator[dict[str, Any]] | None:
    """Every combination, the last setting moving fastest; None if infinite."""
    values = [setting.all() for setting in space.values()]
    if any(listed is None for listed in values):
        return None
    listed = [found for found in values if found is not None]
    return (dict(zip(space, point, strict=True)) for point in itertools.product(*listed))


def size(space: Space) -> int | None:
    """Number of combinations; None if infinite."""
    values = [setting.all() for setting in space.values()]
    return None if None in values else math.prod(len(v) for v in values if v is not None)


def corners(space: Space) -> Iterator[dict[str, Any]]:
    """Points that cover each value or bound once, with other settings at their first value."""
    first = {key: setting.ends()[0] for key, setting in space.items()}
    yield first
    for key, setting in space.items():
        yield from ({**first, key: value} for value in setting.ends()[1:])


def read(key: str, values: Any) -> Choice:
    """A config list as a choice; ConfigError naming ``key`` if empty."""
    if not values:
        raise ConfigError(key, values, "a list of at least one value")
    return Choice(tuple(dict.fromkeys(values)))
