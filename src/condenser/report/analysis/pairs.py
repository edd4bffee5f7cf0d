"""Which rows beat which: the paired test of every two rows of a data set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations, islice

from condenser.report.analysis import labels, settings
from condenser.report.analysis.columns import ACCURACY
from condenser.report.analysis.statistics import LEVEL, Paired, compared, holm
from condenser.report.analysis.table import Row
from condenser.runs.records import Value

MOST = 200  # rows of a data set; beyond, the best on validation


@dataclass(frozen=True)
class Tested:
    """The tests among rows of one data set: a test for every two of ``rows``, in their order, the
    first minus the second; None where they have no seed in common. all: rows before the choice."""

    data: object
    rows: list[int]
    all: int
    tests: list[Paired | None]


def tested(rows: Sequence[Row]) -> list[Tested]:
    """Of each data set with two rows or more the tests of test accuracy."""
    found = []
    for data in dict.fromkeys(row["data"] for row in rows):
        here = [i for i, r in enumerate(rows) if r["data"] == data and ACCURACY in r.mean]
        best = sorted(here, key=lambda i: -rows[i].mean.get("val/accuracy", 0.0))[:MOST]
        chosen = sorted(best)
        values = [rows[i].by_seed(ACCURACY) for i in chosen]
        tests = compared(list(combinations(values, 2)))
        if tests:
            found.append(Tested(data, chosen, len(here), tests))
    return found


@dataclass(frozen=True)
class Neighbours:
    """Two rows that one setting sets apart, a the more accurate; what that setting is in each.

    holm: p corrected for the number of these pairs, where there is a p.
    """

    a: int
    b: int
    differs: str
    test: Paired
    holm: float | None = None


def neighbours(rows: Sequence[Row], found: Sequence[Tested]) -> list[Neighbours]:
    """The tested pairs that say something of one setting, the surest first."""
    keys = ["stage", "model", *labels.varied(rows)]
    pairs = []
    values = {i: [rows[i][key] for key in keys] for group in found for i in group.rows}
    for group in found:
        for (i, j), test in zip(combinations(group.rows, 2), group.tests, strict=True):
            if test is None:
                continue
            apart = _apart(keys, values[i], values[j])
            if len(apart) == 1:
                a, b, own = (i, j, test) if test.difference >= 0 else (j, i, _turned(test))
                pairs.append(Neighbours(a, b, _said(rows[a], rows[b], apart[0]), own))
    told = sorted(
        (p for p in pairs if p.test.p is not None), key=lambda p: float(f"{p.test.p:.9g}")
    )
    corrected = holm([pair.test.p or 0.0 for pair in told])
    return [
        *(replace(pair, holm=p) for pair, p in zip(told, corrected, strict=True)),
        *(pair for pair in pairs if pair.test.p is None),
    ]


def summary(pairs: Sequence[Neighbours]) -> list[str]:
    """How many of these tests find something, before and after Holm's correction."""
    told = [(pair.test.p, pair.holm) for pair in pairs if pair.test.p is not None]
    if not told:
        return []
    sure, corrected = (sum((p or 0.0) < 1 - LEVEL for p in ps) for ps in zip(*told, strict=True))
    return [
        f"paired tests: of {len(told)} pairs of rows that one setting sets apart {sure} differ at "
        f"p<{1 - LEVEL:.2f}, about {(1 - LEVEL) * len(told):.0f} would by chance; {corrected} do "
        "after Holm's correction (comparisons.csv)"
    ]


def _apart(keys: Sequence[str], a: Sequence[Value], b: Sequence[Value]) -> list[str]:
    """What sets the rows apart, two at most; not what only comes along with another method or
    criterion."""
    found = {key: (one, other) for key, one, other in zip(keys, a, b, strict=True) if one != other}
    if len(found) < 2:
        return list(found)
    methods = [key for key in found if key.endswith("/method")]

    def comes_along(key: str) -> bool:
        stage, *rest = key.split("/")
        above = ["/".join([stage, *rest[:depth]]) for depth in range(len(rest))]
        other = any(m != key and m.partition("/")[0] == stage for m in methods)
        return any(one in found for one in above) or (None in found[key] and other)

    return list(islice((key for key in found if not comes_along(key)), 2))


def _turned(test: Paired) -> Paired:
    return Paired(test.n, -test.difference, test.half, test.p)


def _said(a: Row, b: Row, key: str) -> str:
    """``distill T: 4 against 1``."""
    one, two = (settings.value_text(key, row[key]) or "without" for row in (a, b))
    return f"{settings.head(key) if '/' in key else key}: {one} against {two}"
