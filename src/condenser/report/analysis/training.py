"""Training curves: what a run's folder holds of them, by row and seed."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from condenser.errors import DamagedError
from condenser.files import read_bytes
from condenser.report.analysis.table import Row
from condenser.runs.records import LARGEST, Record

FILE = "metrics.csv"
SHOWN = ("val/", "train/")
MOST_POINTS = 200  # of one curve; more than a screen shows
MOST = 3000  # curves of one report


@dataclass(frozen=True)
class Curve:
    """One stage's training in one run.

    metrics: name → (optimiser steps, values), both finite and of equal length.
    """

    group: str
    seed: object
    metrics: dict[str, tuple[list[int], list[float]]]


def read(found: Mapping[Path, Iterable[Record]]) -> list[Curve]:
    """The curves beside these records.jsonl, one a (group, seed); what cannot be read is left out.

    A stage whose result was reused has its curve where it was trained.
    """
    curves: dict[tuple[str, object], Curve] = {}
    for file, records in found.items():
        for label, record in labelled(list(records)):
            who = str(record.get("group")), record.get("seed")
            path = file.parent / label / FILE
            if who not in curves and len(curves) < MOST and (metrics := parsed(path)):
                curves[who] = Curve(*who, metrics)
    return list(curves.values())


def labelled(records: Sequence[Record]) -> Iterator[tuple[str, Record]]:
    """Each record of a run with the name of its stage's folder, ``2-prune``, ``2-prune-random``."""
    places: dict[object, list[object]] = {}
    for record in records:
        places.setdefault(record["stage"], []).append(record.get("position"))
    taken: dict[tuple[object, object], int] = {}
    for record in records:
        if record["stage"] != "baseline":
            yield f"{record.get('position')}-{record['stage']}", record
            continue
        of, kind = record.get("baseline/of"), record.get("baseline/kind")
        number = taken[of, kind] = taken.get((of, kind), -1) + 1
        if number < len(places.get(of, [])):
            yield f"{places[of][number]}-{of}-{kind}", record


def parsed(path: Path) -> dict[str, tuple[list[int], list[float]]]:
    """The curves of one file; rows that are cut or hold no number are passed over."""
    try:
        text = read_bytes(path).decode(errors="replace")
        lines = list(csv.DictReader(io.StringIO(text, newline="")))
    except (OSError, DamagedError, csv.Error):
        return {}
    found: dict[str, tuple[list[int], list[float]]] = {}
    for name in lines[0] if lines else ():
        if isinstance(name, str) and name.startswith(SHOWN):
            points = thinned([p for line in lines if (p := _point(line, name))])
            if points:
                found[name] = [step for step, _ in points], [value for _, value in points]
    return found


def _point(line: Mapping[str, str | None], name: str) -> tuple[int, float] | None:
    try:
        step, value = int(line.get("step") or ""), float(line.get(name) or "")
    except ValueError:
        return None
    return (step, value) if abs(value) < LARGEST and 0 <= step < 1 << 53 else None


def thinned(points: list[tuple[int, float]]) -> list[tuple[int, float]]:
    """At most MOST_POINTS of them, evenly, the last always among them."""
    if len(points) <= MOST_POINTS:
        return points
    every = (len(points) - 1) / (MOST_POINTS - 1)
    return [points[round(i * every)] for i in range(MOST_POINTS)]


def of_rows(rows: Sequence[Row], curves: Sequence[Curve]) -> dict[int, list[Curve]]:
    """Index of a row → its curves, a seed each."""
    groups = {str(row["group"]): i for i, row in enumerate(rows)}
    found: dict[int, list[Curve]] = {}
    for curve in curves:
        if curve.group in groups:
            found.setdefault(groups[curve.group], []).append(curve)
    return found
