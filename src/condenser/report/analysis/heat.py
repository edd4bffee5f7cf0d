"""Two settings that a sweep crossed, of any kind, as a map of rows; temperature × alpha first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from random import Random

from condenser.report.analysis import labels, settings
from condenser.report.analysis.table import Row, is_number
from condenser.runs.records import Value

FIRST = ("distill/temperature", "distill/alpha")
FEWEST = 2  # values of each


@dataclass(frozen=True)
class Map:
    """Cells are indices of rows, None where the sweep has none; cells[y][x]."""

    title: str
    x: str
    y: str
    xs: list[str]
    ys: list[str]
    cells: list[list[int | None]]


def maps(rows: Sequence[Row]) -> list[Map]:
    """Every pair of settings that vary together, for each stage and setting of the rest.

    Temperature × alpha comes first, then numbers. Only rows that nothing but the two sets apart
    share a map, so that a cell is one row and never a mean over other settings.
    """
    varied = labels.varied(rows)
    columns = {k: {i: v for i, r in enumerate(rows) if (v := r[k]) is not None} for k in varied}
    words = {key for key in varied if not all(map(is_number, columns[key].values()))}
    marks = _marks(rows, varied)
    pairs = sorted(
        combinations(varied, 2), key=lambda p: (set(p) != set(FIRST), words & {*p} != set())
    )
    both = ((x, y, sorted(columns[x].keys() & columns[y].keys())) for x, y in pairs)
    return [one for x, y, own in both for one in _maps(rows, varied, marks, x, y, own)]


def _marks(rows: Sequence[Row], varied: Sequence[str]) -> list[tuple[int, dict[str, int]]]:
    """A random number for each value of each setting, and their sum over a row.

    The sum without two of them says whether rows agree in all the rest, at once for any two.
    """
    draw, numbers = Random(0), dict[tuple[str, Value | tuple[str, ...]], int]()

    def mark(key: str, value: Value | tuple[str, ...]) -> int:
        return numbers.setdefault((key, value), draw.getrandbits(64))

    found = []
    for row in rows:
        who = (("", row.experiments), *((key, row[key]) for key in ("data", "model", "stage")))
        own = {key: mark(key, row[key]) for key in varied}
        found.append((sum(own.values()) + sum(mark(f"{k}/", v) for k, v in who), own))
    return found


def _maps(
    rows: Sequence[Row],
    varied: Sequence[str],
    marks: Sequence[tuple[int, dict[str, int]]],
    x: str,
    y: str,
    both: Sequence[int],
) -> list[Map]:
    rest = [key for key in varied if key not in (x, y)]
    slices: dict[int, list[int]] = {}
    for i in both:
        whole, own = marks[i]
        slices.setdefault(whole - own[x] - own[y], []).append(i)
    large = [own for own in slices.values() if len(own) > FEWEST]
    found = [_map(rows, own, x, y, rest) for own in large]
    return [one for one in found if one is not None]


def _map(rows: Sequence[Row], own: list[int], x: str, y: str, rest: Sequence[str]) -> Map | None:
    places: dict[tuple[Value, Value], int] = {}
    for i in own:
        places.setdefault((rows[i][x], rows[i][y]), i)
    xs, ys = (sorted(set(values), key=labels.sortable) for values in zip(*places, strict=True))
    if min(len(xs), len(ys)) < FEWEST or len(places) < len(own):
        return None
    if len(places) <= max(len(xs), len(ys)):  # each value of one has its own of the other
        return None
    first = rows[own[0]]
    held = [settings.setting(key, first[key]) for key in rest if first[key] is not None]
    title = " ".join([str(first["stage"]), *held, f"({first['model']}, {first['data']})"])
    cells = [[places.get((one, other)) for one in xs] for other in ys]
    x_words, y_words = ([settings.value_text(k, v) for v in vs] for k, vs in ((x, xs), (y, ys)))
    return Map(title, x, y, x_words, y_words, cells)
