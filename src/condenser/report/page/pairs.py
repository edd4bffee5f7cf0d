"""Which rows beat which: the paired test of every two rows of a data set."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from condenser.report.columns import ACCURACY
from condenser.report.statistics import paired
from condenser.report.table import Row

MOST = 200  # rows of a data set; beyond, the best on validation


def compared(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """For each data set its rows, and for every two of them, in their order, [n, difference,
    half the interval, p] of the first minus the second; None where no seed is common."""
    found = []
    for data in dict.fromkeys(row["data"] for row in rows):
        here = [i for i, r in enumerate(rows) if r["data"] == data and ACCURACY in r.mean]
        best = sorted(here, key=lambda i: -rows[i].mean.get("val/accuracy", 0.0))[:MOST]
        chosen = sorted(best)
        values = [rows[i].by_seed(ACCURACY) for i in chosen]
        tests = [
            _plain(values[a], values[b])
            for a in range(len(values))
            for b in range(a + 1, len(values))
        ]
        if tests:
            found.append({"data": data, "rows": chosen, "all": len(here), "tests": tests})
    return found


def _plain(a: dict[object, float], b: dict[object, float]) -> list[float | None] | None:
    test = paired(a, b)
    if test is None:
        return None
    numbers = (test.difference, test.half, test.p)
    return [test.n, *(None if v is None else float(f"{v:.4g}") for v in numbers)]
