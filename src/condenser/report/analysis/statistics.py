"""What repeats over seeds can tell: intervals of a mean, and whether one row beats another.

Student's t throughout: Student, "The probable error of a mean", Biometrika 6, 1908,
https://doi.org/10.1093/biomet/6.1.1
"""

from __future__ import annotations

import math
import warnings
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate

LEVEL = 0.95
STILL = 1e-12  # of the mean: differences that scatter less do not scatter
Values = Mapping[object, float]
"""seed → number"""


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


def compared(pairs: Sequence[tuple[Values, Values]]) -> list[Paired | None]:
    """The paired t-test of each pair; those with as many common seeds are tested in one call."""
    found: list[Paired | None] = [None] * len(pairs)
    alike: dict[int, list[int]] = defaultdict(list)
    both = [[(a[seed], b[seed]) for seed in a if seed in b] for a, b in pairs]
    for place, values in enumerate(both):
        alike[len(values)].append(place)
    for n, places in alike.items():
        if n == 1:
            for place in places:
                [(one, other)] = both[place]
                found[place] = Paired(1, one - other, None, None)
        elif n:
            tests = _tested([both[place] for place in places])
            for place, test in zip(places, tests, strict=True):
                found[place] = test
    return found


def _tested(both: Sequence[Sequence[tuple[float, float]]]) -> Iterator[Paired]:
    """scipy's paired test and interval of many pairs, each of n ≥ 2 seeds."""
    import numpy as np
    from scipy.stats import ttest_rel

    a, b = np.moveaxis(np.array(both), 2, 0)  # each (pairs, seeds)
    differences = a - b
    means = differences.mean(axis=1)
    still = differences.std(axis=1) <= STILL * np.maximum(abs(means), STILL)
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of differences that are all the same
        test = ttest_rel(a, b, axis=1)
        ends = test.confidence_interval(LEVEL)
    halves, n = (ends.high - ends.low) / 2, a.shape[1]
    for mean, half, p, same in zip(means, halves, test.pvalue, still, strict=True):
        whole = float(half) if half == half else 0.0
        yield Paired(n, float(mean), whole, None if same else float(p))


def holm(ps: Sequence[float]) -> list[float]:
    """The p of each of a family of tests, corrected for their number; ps in ascending order.

    S. Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of
    Statistics 6, 1979, https://www.jstor.org/stable/4615733
    """
    scaled = ((len(ps) - place) * p for place, p in enumerate(ps))
    return [min(p, 1.0) for p in accumulate(scaled, max)]
