"""Everything the page shows, as plain values: the same rows, columns and checks as all outputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from condenser.report.analysis import checks, columns, labels, quantities
from condenser.report.analysis.pairs import Tested
from condenser.report.analysis.sheets import Sheet
from condenser.report.analysis.statistics import Paired
from condenser.report.analysis.table import Row
from condenser.report.figures.description import Column, Figure, as_json
from condenser.report.figures.style import PALETTE, STEPS, looks

DIGITS = 8
X_FIRST = (
    *("size/file_bytes", "size/packed_bytes", "size/params", "size/nonzero", "compute/macs"),
    *("compute/nonzero_macs", "latency/ms_b1", "energy/uj", "export/latency_ms"),
    "cost/train_seconds",
)
Y_FIRST = ("test/accuracy", "test/accuracy_last", "val/accuracy", "val/accuracy_last")
Y_PREFIXES = ("test/", "val/", "teacher/", "cka/", "export/agreement", "robustness/", "churn/")
NOT_AXES = (
    *("teacher/seed", "teacher/min_accuracy", "latency/threads", "latency/iqr_b1"),
    *("robustness/images", "privacy/members", "privacy/others", "attribution/images"),
    *("cost/epochs", "cost/best_epoch", "cost/samples_per_second"),
)
Content = dict[str, Any]


def content(
    rows: Sequence[Row],
    figures: Mapping[str, Figure],
    quantities_: Mapping[str, Column],
    skipped: Sequence[str] = (),
    tests: Sequence[Tested] = (),
    sheets: Sequence[Sheet] = (),
) -> Content:
    """The page's content; rows in reading order."""
    return {
        "title": ", ".join(dict.fromkeys(n for row in rows for n in row.experiments)) or "report",
        "claims": sorted({str(c) for row in rows if (c := row["claim"])}),
        "about": about(rows),
        "skipped": list(skipped),
        "reading": checks.reading(rows),
        "columns": {key: numbers(column) for key, column in quantities_.items()},
        "rows": described(rows),
        "looks": looks(rows),
        "palette": PALETTE,
        "shades": STEPS,
        "figures": {name: as_json(figure) for name, figure in figures.items()},
        "pairs": [vars(one) | {"tests": [compact(t) for t in one.tests]} for one in tests],
        "table": table(rows),
        "sheets": pictures(rows, sheets),
        "checks": [vars(check) for check in checks.fairness(rows)],
    }


def pictures(rows: Sequence[Row], sheets: Sequence[Sheet]) -> list[Content]:
    """Each sheet with the row that it is of."""
    places = {str(row["group"]): i for i, row in enumerate(rows)}
    known = [(places[one.group], one) for one in sheets if one.group in places]
    return [{"row": i, "says": one.says, "source": one.source} for i, one in known]


def choosable(rows: Sequence[Row], x: str | None, y: str | None) -> tuple[list[str], list[str]]:
    """What can be chosen: costs that were measured, and qualities; the usual ones first."""
    known = sorted({key for row in rows for key in row.mean} - set(NOT_AXES))
    costs = [key for key in known if quantities.is_cost(key) and key.count("/") == 1]
    good = [key for key in known if key.startswith(Y_PREFIXES) and key.count("/") == 1]
    good = [key for key in good if key not in costs and "optim" not in key]

    def first(usual: Sequence[str], found: Sequence[str], own: str | None) -> list[str]:
        return list(
            dict.fromkeys([*(k for k in usual if k in found), *found, *filter(None, [own])])
        )

    return first(X_FIRST, costs, x), first(Y_FIRST, good, y)


def numbers(column: Column) -> Content:
    spreads = ("mean", "std", "half")
    return vars(column) | {name: [short(v) for v in getattr(column, name)] for name in spreads}


def short(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.{DIGITS}g}")


def about(rows: Sequence[Row]) -> list[str]:
    """What the numbers stand on, each a few words."""
    records = [record for row in rows for record in row.records]
    few, many = min(row.n for row in rows), max(row.n for row in rows)
    seeds = f"{few}–{many} seeds" if few < many else f"{few} seed" + "s" * (few > 1)
    counts = f"{len(records):,} measurements in {len(rows):,} rows", seeds
    found = [sorted({str(v) for r in records if (v := r.get(k))}) for k in ("data", "commit")]
    data, commits = (", ".join(values) for values in found)
    machines = sorted({str(v) for r in records if (v := r.get("hardware"))})
    return [*counts, data, f"commit {commits}" if commits else "", *machines]


def described(rows: Sequence[Row]) -> list[Content]:
    """Who each row is, and how to have it again."""
    return [
        {
            "name": name,
            "full": full,
            "stage": row["stage"],
            "model": row["model"],
            "data": row["data"],
            "n": row.n,
            "seeds": [str(record.get("seed")) for record in row.records],
            "run": row["run"],
            "command": row["command"],
            "runtime": row["latency/runtime"],
            "accuracies": [short(a) for a in row.by_seed(columns.ACCURACY).values()],
        }
        for row, name, full in zip(
            rows, labels.stage_names(rows), labels.full_names(rows), strict=True
        )
    ]


def compact(test: Paired | None) -> list[float | None] | None:
    """[n, difference, half the interval, p]."""
    if test is None:
        return None
    numbers = (test.difference, test.half, test.p)
    return [test.n, *(None if v is None else float(f"{v:.4g}") for v in numbers)]


def table(rows: Sequence[Row]) -> Content:
    """The columns of every other output, with numbers to sort by."""
    found = columns.columns(rows)
    return {
        "heads": [column.head for column in found],
        "text": [column.is_text for column in found],
        "cells": [column.cells for column in found],
        "numbers": [[short(v) for v in column.numbers] for column in found],
    }
