"""What repeats over seeds can tell: intervals of a mean, and whether one row beats another.

Student's t throughout: Student, "The probable error of a mean", Biometrika 6, 1908,
https://doi.org/10.1093/biomet/6.1.1
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate

LEVEL = 0.95
FEWEST = 2  # pairs that have a spread


@dataclass(frozen=True)
class Paired:
    """A minus B over the n seeds that both have.

    difference: mean of the differences. half: half the width of its 95 % interval. p: two-sided,
    of the paired t-test. half and p are None where fewer than two seeds are common to both; p
    also where all differences are the same, whose spread says nothing.
    """

    n: int
    difference: float
    half: float | None
    p: float | None


def std(values: Sequence[float], mean: float) -> float:
    """The sample's standard deviation, ddof=1, of two values or more."""
    return math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1))


def half_width(std: float, n: int) -> float:
    """Half the 95 % interval of a mean: t · std / √n with n − 1 degrees of freedom; n ≥ 2."""
    return quantile(n - 1) * std / math.sqrt(n)


@lru_cache
def quantile(df: int) -> float:
    """The t that lies outside ±t in 5 % of cases."""
    from scipy.special import stdtrit

    return float(stdtrit(df, (1 + LEVEL) / 2))


def paired(a: Mapping[object, float], b: Mapping[object, float]) -> Paired | None:
    """The paired t-test of A against B, each a number by seed; None without a common seed."""
    differences = [a[seed] - b[seed] for seed in a if seed in b]
    n = len(differences)
    if not n:
        return None
    mean = math.fsum(differences) / n
    if n < FEWEST:
        return Paired(n, mean, None, None)
    spread = std(differences, mean)
    return Paired(n, mean, half_width(spread, n), p_value(mean, spread, n))


def p_value(mean: float, spread: float, n: int) -> float | None:
    """Two-sided p of a mean of n values with this sample std; None where nothing scatters."""
    if spread <= 1e-12 * max(abs(mean), 1e-12):
        return None
    from scipy.special import stdtr

    return float(2 * stdtr(n - 1, -abs(mean) / (spread / math.sqrt(n))))


def holm(ps: Sequence[float]) -> list[float]:
    """The p of each of a family of tests, corrected for their number; ps in ascending order.

    S. Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of
    Statistics 6, 1979, https://www.jstor.org/stable/4615733
    """
    scaled = ((len(ps) - place) * p for place, p in enumerate(ps))
    return [min(p, 1.0) for p in accumulate(scaled, max)]


def beats(test: Paired | None, unit: str = "points", scale: float = 100.0) -> str:
    """The test in words, differences in the unit: what A is to B and whether that is chance."""
    if test is None:
        return "no seed in common: cannot be compared"
    way = "above" if test.difference > 0 else "below" if test.difference < 0 else "from"
    said = f"{abs(scale * test.difference):.2f} {unit} {way}"
    if test.half is None:
        return f"{said}; one common seed: cannot be tested"
    if test.p is None:
        return f"{said} on each of {test.n} seeds: no scatter to test against"
    low, high = test.difference - test.half, test.difference + test.half
    interval = f"95 % interval {scale * low:+.2f} to {scale * high:+.2f}"
    return f"{said} ({interval}, n={test.n}, p={p_text(test.p)})"


def p_text(p: float) -> str:
    return "<0.001" if p < 0.001 else f"{p:.3f}" if p < 0.1 else f"{p:.2f}"
