"""Two settings that a sweep crossed, temperature and alpha first, as a map of rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

from condenser.records import Value
from condenser.report import labels, settings
from condenser.report.table import Row, is_number

FIRST = ("distill/temperature", "distill/alpha")
FEWEST = 2  # values of each


@dataclass(frozen=True)
class Map:
    """Cells are indices of rows, None where the sweep has none; cells[y][x]."""

    title: str
    x: str
    y: str
    xs: list[float]
    ys: list[float]
    cells: list[list[int | None]]


def maps(rows: Sequence[Row]) -> list[Map]:
    """Every pair of numeric settings that vary together, for each stage and setting of the rest.

    Temperature × alpha alone where there is such a map. Only rows that nothing but the two sets
    apart share a map, so that a cell is one row and never a mean over other settings.
    """
    varied = labels.varied(rows)
    numeric = [k for k in varied if all(is_number(r[k]) for r in rows if r[k] is not None)]
    if set(FIRST) <= set(numeric) and (found := _maps(rows, varied, *FIRST)):
        return found
    pairs = combinations(numeric, 2)
    return [one for x, y in pairs for one in _maps(rows, varied, x, y)]


def _maps(rows: Sequence[Row], varied: Sequence[str], x: str, y: str) -> list[Map]:
    rest = [key for key in varied if key not in (x, y)]
    slices: dict[tuple[Value | tuple[str, ...], ...], list[int]] = {}
    for i, row in enumerate(rows):
        if row[x] is not None and row[y] is not None:
            who = row.experiments, row["data"], row["model"], row["stage"]
            slices.setdefault((*who, *(row[key] for key in rest)), []).append(i)
    found = [_map(rows, own, x, y, rest) for own in slices.values()]
    return [one for one in found if one is not None]


def _map(rows: Sequence[Row], own: list[int], x: str, y: str, rest: Sequence[str]) -> Map | None:
    places: dict[tuple[float, float], int] = {}
    for i in own:
        across, up = rows[i][x], rows[i][y]
        assert is_number(across) and is_number(up)
        places.setdefault((across, up), i)
    xs, ys = sorted({across for across, _ in places}), sorted({up for _, up in places})
    if min(len(xs), len(ys)) < FEWEST or len(places) < len(own):
        return None
    if len(places) <= max(len(xs), len(ys)):  # each value of one has its own of the other
        return None
    first = rows[own[0]]
    held = [settings.setting(key, first[key]) for key in rest if first[key] is not None]
    title = " ".join([str(first["stage"]), *held, f"({first['model']}, {first['data']})"])
    cells = [[places.get((across, up)) for across in xs] for up in ys]
    return Map(title, x, y, list(xs), list(ys), cells)
