"""Everything the page shows, as plain values: the same rows, columns and checks as all outputs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from condenser.report.analysis import checks, columns, heat, labels, quantities, settings
from condenser.report.analysis.pairs import Tested
from condenser.report.analysis.statistics import Paired
from condenser.report.analysis.table import Row
from condenser.report.analysis.training import Curve, of_rows
from condenser.report.figures import layers, series
from condenser.report.figures.style import looks

DIGITS = 8
X_FIRST = (
    *("size/file_bytes", "size/packed_bytes", "size/params", "size/nonzero", "compute/macs"),
    *("compute/nonzero_macs", "latency/ms_b1", "energy/uj", "export/latency_ms"),
    "cost/train_seconds",
)
Y_FIRST = ("test/accuracy", "test/accuracy_last", "val/accuracy", "val/accuracy_last")
Y_PREFIXES = ("test/", "val/", "teacher/", "cka/", "export/agreement")
NOT_AXES = (
    *("teacher/seed", "teacher/min_accuracy", "latency/threads", "latency/iqr_b1"),
    *("cost/epochs", "cost/best_epoch", "cost/samples_per_second"),
)
Content = dict[str, Any]


def content(
    rows: Sequence[Row],
    x: str | None,
    y: str | None,
    curves: Sequence[Curve] = (),
    skipped: Sequence[str] = (),
    tests: Sequence[Tested] = (),
) -> Content:
    """The page's content; rows in reading order, x and y the axes that it opens with, if any."""
    xs, ys = axes(rows, x, y)
    return {
        "title": ", ".join(dict.fromkeys(n for row in rows for n in row.experiments)) or "report",
        "claims": sorted({str(c) for row in rows if (c := row["claim"])}),
        "about": about(rows),
        "skipped": list(skipped),
        "reading": checks.reading(rows),
        "x": x,
        "y": y,
        "xs": xs,
        "ys": ys,
        "quantities": {key: quantity(key) for key in dict.fromkeys((*xs, *ys))},
        "numbers": {key: numbers(rows, key) for key in dict.fromkeys((*xs, *ys))},
        "rows": described(rows),
        "looks": {stage: [look["color"], look["marker"]] for stage, look in looks(rows).items()},
        "colours": colours(rows, x, y),
        "lines": lines(rows, x, y),
        "fronts": fronts(rows, xs, ys),
        "maps": [mapped(one) for one in heat.maps(rows)],
        "layers": {str(i): of_layers(rows[i]) for i in layers.known(rows)},
        "layer_words": layers.METRICS,
        "curves": trained(rows, curves),
        "pairs": [vars(one) | {"tests": [compact(t) for t in one.tests]} for one in tests],
        "table": table(rows),
        "checks": [vars(check) for check in checks.fairness(rows)],
    }


def axes(rows: Sequence[Row], x: str | None, y: str | None) -> tuple[list[str], list[str]]:
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


def quantity(key: str) -> Content:
    return {
        "name": quantities.name(key),
        "unit": quantities.unit(key),
        "fraction": quantities.is_fraction(key),
        "cost": quantities.is_cost(key),
        "less": quantities.less_is_better(key),
    }


def numbers(rows: Sequence[Row], key: str) -> Content:
    return {
        "mean": [short(row.mean.get(key)) for row in rows],
        "std": [short(row.std.get(key)) for row in rows],
        "half": [short(row.half.get(key)) for row in rows],
    }


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


def colours(rows: Sequence[Row], x: str | None, y: str | None) -> list[Content]:
    """What points can be coloured by: the stage, the method, and every setting that varies."""
    named = {"stage": "stage", "model": "network", "data": "data", "experiment": "experiment"}
    found = [{"key": k, "label": w, "values": [row[k] for row in rows]} for k, w in named.items()]
    if lines(rows, x, y):
        found.append({"key": "method", "label": "method", "values": series.methods(rows)})
    for key in labels.varied(rows):
        values = [row[key] for row in rows]
        said = [settings.value_text(key, value) for value in values]
        found.append({"key": key, "label": settings.head(key), "values": values, "said": said})
    return [one for one in found if len(set(one["values"])) > 1 or one["key"] == "stage"]


def lines(rows: Sequence[Row], x: str | None, y: str | None) -> list[Content]:
    """The methods that were tried at several sizes, each with its rows."""
    if x is None or y is None:
        return []
    places = {id(row): i for i, row in enumerate(rows)}
    return [
        {"method": method, "model": model, "rows": [places[id(row)] for row in own]}
        for model, of_method in series.lines(rows, x, y).items()
        for method, own in of_method.items()
    ]


def fronts(rows: Sequence[Row], xs: Sequence[str], ys: Sequence[str]) -> Content:
    """Data set → network ("" for all) → x → y → rows on the Pareto front, smallest first."""
    found: Content = {}
    for data in dict.fromkeys(str(row["data"]) for row in rows):
        here = [i for i, row in enumerate(rows) if str(row["data"]) == data]
        models = dict.fromkeys(str(rows[i]["model"]) for i in here)
        for model in ("", *(models if len(models) > 1 else ())):
            own = [i for i in here if model in ("", str(rows[i]["model"]))]
            found.setdefault(data, {})[model] = {x: _fronts(rows, own, x, ys) for x in xs}
    return found


def _fronts(rows: Sequence[Row], own: list[int], x: str, ys: Sequence[str]) -> dict[str, list[int]]:
    mine = [rows[i] for i in own]
    return {y: [own[i] for i in columns.pareto(mine, x, y)] for y in ys}


def mapped(one: heat.Map) -> Content:
    heads = {"x": settings.head(one.x), "y": settings.head(one.y)}
    return {"title": one.title, **heads, "xs": one.xs, "ys": one.ys, "cells": one.cells}


def of_layers(row: Row) -> Content:
    found = layers.of(row)
    return {m: {layer: short(v) for layer, v in values.items()} for m, values in found.items()}


def trained(rows: Sequence[Row], curves: Sequence[Curve]) -> Content:
    """Index of a row → its curves: seed, and name → [steps, values]."""
    return {
        str(i): [
            {
                "seed": str(curve.seed),
                "metrics": {
                    name: [steps, [float(f"{value:.5g}") for value in values]]
                    for name, (steps, values) in curve.metrics.items()
                },
            }
            for curve in own
        ]
        for i, own in of_rows(rows, curves).items()
    }


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
