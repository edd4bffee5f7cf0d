"""The trade-off: every model a point at what it costs, the Pareto front a step line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from condenser.errors import CondenserError, nearest
from condenser.report.analysis import labels, quantities, settings
from condenser.report.analysis.columns import chosen_on, pareto
from condenser.report.analysis.table import Row, is_number
from condenser.report.figures import methods
from condenser.report.figures.description import Axis, Choice, Column, Figure, Mark, Panel
from condenser.report.figures.style import MARKERS, MUTED, PALETTE, looks, stepped

RANK = "rank"
FEW = 12  # values of a number that each get a colour of their own
SHADES = 5  # of more
BARS = (("std", "± std"), ("half", "95 % interval"), ("none", "none"))
NAMED = {"stage": "stage", "model": "network", "data": "data", "experiment": "experiment"}
Group = tuple[str, str, str, list[int]]
"""(label, color, marker, rows); without a marker each row has its stage's"""


def drawable(rows: Sequence[Row], x: str, y: str) -> list[Row]:
    """The rows that measured both x and y. Raises CondenserError where none did."""
    for key in (x, y):
        if not any(key in row.mean for row in rows):
            known = sorted({k for row in rows for k in row.mean if "/" in k})
            hint = nearest(key, known) or f"there are {', '.join(known) or 'no numbers'}"
            raise CondenserError(f"{key}: no record has it; {hint}")
    found = [row for row in rows if x in row.mean and y in row.mean]
    if not found:
        raise CondenserError(f"no record has both {x} and {y}")
    return found


def columns(rows: Sequence[Row], keys: Sequence[str]) -> dict[str, Column]:
    """These quantities of all rows."""
    return {
        key: Column(
            quantities.name(key),
            quantities.unit(key),
            100.0 if quantities.is_fraction(key) else 1.0,
            quantities.is_cost(key),
            quantities.less_is_better(key),
            *([one.get(key) for one in spread] for spread in _spreads(rows)),
        )
        for key in dict.fromkeys(keys)
    }


def _spreads(rows: Sequence[Row]) -> Iterator[list[dict[str, float]]]:
    yield [row.mean for row in rows]
    yield [row.std for row in rows]
    yield [row.half for row in rows]


def describe(
    rows: Sequence[Row], xs: Sequence[str], ys: Sequence[str], x: str | None, y: str
) -> Figure:
    """The figure of all rows, in reading order; xs and ys are the quantities to choose from."""
    data = [str(row["data"]) for row in rows]
    models = [str(row["model"]) for row in rows]
    sets = sorted(set(data), key=lambda one: (-data.count(one), data.index(one)))
    lines = methods.lines(rows, x, y) if x else {}
    drawn = [row for row in rows if {x, y} <= row.mean.keys()]
    colours = list(_colours(rows, lines))
    several = len(list(_each(lines))) > 1
    shown = sets[0] if len(sets) > 1 else ""
    choices = {
        "x": Choice(["x axis"], [*_named(xs), (RANK, "nothing: rows by rank")], x or RANK),
        "y": Choice(["y axis"], _named(ys), y),
        "colour": Choice(
            ["colour"],
            [(key, words) for key, words, _ in colours],
            "method" if several else "stage",
        ),
        "data": Choice(["data"], [("", "all"), *((one, one) for one in sets if sets[1:])], shown),
        "network": Choice(
            ["network"],
            [("", "all"), *_models(data, models)],
            next(iter(lines)) if several else "",
        ),
        "bars": Choice(["bars"], BARS, "std"),
        "log": Choice(["log scale"], (), True),
    }
    marks = [
        Mark("step", front_name(rows, y), MUTED, rows=_fronts(rows, data, models, xs, ys), by=_BY),
        *_levels(rows),
        *_lines(rows, lines),
        *(mark for key, _, groups in colours for mark in _points(rows, key, groups)),
    ]
    panel = Panel(Axis(quantity="$x"), Axis(quantity="$y"), marks)
    return Figure([panel], choices, {"data": data, "network": models}, *titles(drawn or rows))


_BY = ("data", "network", "x", "y")


def _named(keys: Sequence[str]) -> list[tuple[str, str]]:
    return [(key, quantities.name(key)) for key in keys]


def _models(data: Sequence[str], models: Sequence[str]) -> Iterator[tuple[Any, ...]]:
    for model in dict.fromkeys(models):
        own = list(dict.fromkeys(d for d, m in zip(data, models, strict=True) if m == model))
        yield model, model, {"data": ["", *own]}


def _each(lines: Mapping[str, methods.Lines]) -> Iterator[tuple[str, str, list[Row]]]:
    for model, of_method in lines.items():
        for method, own in of_method.items():
            yield model, method, own


def _names(lines: Mapping[str, methods.Lines]) -> list[str]:
    return sorted({name for _, name, _ in _each(lines)})


def _colours(
    rows: Sequence[Row], lines: Mapping[str, methods.Lines]
) -> Iterator[tuple[str, str, list[Group]]]:
    """What points can be coloured by: the stage, the method, and every setting that varies."""
    own = looks(rows)
    stages: dict[str, list[int]] = {}
    for i, row in enumerate(rows):
        stages.setdefault(str(row["stage"]), []).append(i)
    yield "stage", "stage", [(stage, *own[stage], mine) for stage, mine in stages.items()]
    if lines:
        found = methods.methods(rows)
        names = dict.fromkeys((*_names(lines), *found))
        groups = _grouped(found, list(names))
        yield (
            "method",
            "method",
            [
                (label, color, MARKERS[place % len(MARKERS)], mine)
                for place, (label, color, _, mine) in enumerate(groups)
            ],
        )
    for key, words in [*((k, w) for k, w in NAMED.items() if k != "stage"), *_settings(rows)]:
        values = [_said(row, key) for row in rows]
        known = [row[key] for row in rows if row[key] is not None]
        if len(set(values)) > 1:
            numeric = "/" in key and bool(known) and all(is_number(value) for value in known)
            yield key, words, _shaded(rows, key) if numeric else _grouped(values)


def _settings(rows: Sequence[Row]) -> list[tuple[str, str]]:
    return [(key, settings.head(key)) for key in labels.varied(rows)]


def _said(row: Row, key: str) -> str:
    if key == "experiment":
        return ", ".join(row.experiments)
    return settings.value_text(key, row[key]) if "/" in key else str(row[key])


def _grouped(values: Sequence[str], order: Sequence[str] = ()) -> list[Group]:
    """A colour for each value; rows without one come last."""
    rows: dict[str, list[int]] = {name: [] for name in order}
    for i, value in enumerate(values):
        rows.setdefault(value, []).append(i)
    without = rows.pop("", [])
    found = [
        (name, PALETTE[place % len(PALETTE)], "", mine)
        for place, (name, mine) in enumerate(rows.items())
    ]
    return [*found, *_without(without)]


def _shaded(rows: Sequence[Row], key: str) -> list[Group]:
    """Numbers from dark to light; many of them in a few ranges."""
    known = {i: v for i, row in enumerate(rows) if is_number(v := row[key])}
    values = sorted(set(known.values()))
    edges = (
        values if len(values) <= FEW else [values[k * len(values) // SHADES] for k in range(SHADES)]
    )
    groups: dict[int, list[int]] = {place: [] for place in range(len(edges))}
    for i, value in known.items():
        groups[max(p for p, edge in enumerate(edges) if edge <= value)].append(i)
    many = "≥ " if len(edges) < len(values) else ""
    found = [
        (many + settings.value_text(key, edge), stepped(p / max(len(edges) - 1, 1)), "", groups[p])
        for p, edge in enumerate(edges)
    ]
    return [*found, *_without([i for i in range(len(rows)) if i not in known])]


def _without(rest: list[int]) -> list[Group]:
    return [("without", MUTED, "", rest)] if rest else []


def _points(rows: Sequence[Row], key: str, groups: Sequence[Group]) -> Iterator[Mark]:
    own = looks(rows)
    for label, color, marker, mine in groups:
        stages: dict[str, list[int]] = {}
        for i in mine:
            stages.setdefault(marker or own[str(rows[i]["stage"])][1], []).append(i)
        for shape, some in stages.items():
            yield Mark("points", label, color, shape, rows=some, when={"colour": key})


def _lines(rows: Sequence[Row], lines: Mapping[str, methods.Lines]) -> Iterator[Mark]:
    places = {id(row): i for i, row in enumerate(rows)}
    names = _names(lines)
    for _, name, own in _each(lines):
        color = PALETTE[names.index(name) % len(PALETTE)]
        mine, dash = [places[id(row)] for row in own], name.endswith("(baseline)")
        yield Mark("line", name, color, dash=dash, rows=mine, when={"colour": "method"})


def _levels(rows: Sequence[Row]) -> Iterator[Mark]:
    """What the recipe starts from, beside the lines of methods."""
    dense = [i for i, row in enumerate(rows) if row["position"] == 0]
    yield Mark("level", "", MUTED, dash=True, rows=dense, when={"colour": "method"})


def _fronts(
    rows: Sequence[Row],
    data: Sequence[str],
    models: Sequence[str],
    xs: Sequence[str],
    ys: Sequence[str],
) -> dict[str, Any]:
    """Data set → network ("" for all) → x → y → rows on the Pareto front, smallest first."""
    found: dict[str, Any] = {}
    sets = list(dict.fromkeys(data))
    for one in (*sets, *([""] if len(sets) > 1 else [])):
        here = [i for i in range(len(rows)) if one in ("", data[i])]
        for model in ("", *dict.fromkeys(models[i] for i in here)):
            own = [i for i in here if model in ("", models[i])]
            mine = [rows[i] for i in own]
            found.setdefault(one, {})[model] = {
                x: {y: [own[i] for i in pareto(mine, x, y)] for y in ys}
                for x in xs
                if quantities.is_cost(x)
            }
    return found if len(sets) > 1 else {"": found[sets[0]]}


def titles(rows: Sequence[Row]) -> tuple[str, str]:
    """The experiments; and what the points are means of."""
    experiments = dict.fromkeys(name for row in rows for name in row.experiments)
    data = dict.fromkeys(str(row["data"]) for row in rows if row["data"])
    few, many = min(row.n for row in rows), max(row.n for row in rows)
    seeds = f"{few}–{many} seeds" if few < many else f"{few} seed" + "s" * (few > 1)
    spread = f"mean ± sample std over {seeds}" if many > 1 else "one seed, no error bars"
    return ", ".join(experiments) or "accuracy and size", " · ".join([*data, spread])


def front_name(rows: Sequence[Row], y: str) -> str:
    return "Pareto front" + (", chosen on\nvalidation" if chosen_on(rows, y) != y else "")
