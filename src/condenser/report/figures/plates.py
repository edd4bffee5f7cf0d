"""Which figures go on paper: what is chosen in each, and how large it is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from condenser.report.analysis import labels
from condenser.report.analysis.columns import ACCURACY, FILE, chosen_on, pareto
from condenser.report.analysis.table import Row
from condenser.report.figures import paper
from condenser.report.figures.description import Column, Figure, fits
from condenser.report.figures.others import METRIC, MOST_LAYERS, MOST_TRAINED

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawn

CROWDED = 40  # points
Plates = dict[str, tuple["Drawn", str]]
"""name → (figure, what it shows)"""


def plates(
    table: Sequence[Row],
    figures: Mapping[str, Figure],
    columns: Mapping[str, Column],
    x: str | None,
    y: str | None,
) -> Plates:
    """All that there is something to draw for, by name."""
    found: Plates = {}
    if y is not None and x is not None:
        found |= _curve(table, figures["curve"], columns, x, y)
    if y is not None and "heat" in figures:
        found["heat"] = _heat(table, figures["heat"], columns, y), "two settings that were crossed"
    if "layers" in figures:
        front = pareto(table, FILE, ACCURACY)
        found["layers"] = _layers(figures["layers"], front), "what each layer lost and costs"
    if "behaviour" in figures:
        wide = len(figures["behaviour"].panels)
        shown = paper.draw(figures["behaviour"], columns, [{}], (3.9 * wide + 1.4, 4.2))
        found["behaviour"] = shown, "what each network gives away and keeps, over its size"
    if "training" in figures and (drawn := _training(table, figures["training"])):
        found["training"] = drawn, "training curves"
    return dict(sorted(found.items()))


def _curve(
    table: Sequence[Row], figure: Figure, columns: Mapping[str, Column], x: str, y: str
) -> Plates:
    left_out = sum(not {x, y} <= row.mean.keys() for row in table)
    without = f" (without {left_out} rows that lack {x} or {y})" if left_out else ""
    every = figure.state | {"x": x, "y": y, "data": "", "network": ""}
    names = labels.full_names(table)
    few = len(table) <= CROWDED
    drawn = paper.draw(figure, columns, [every | {"colour": "stage"}], names=names, few=few)
    found = {"curve": (drawn, f"{y} over {x}{without}")}
    own = list(_methods(table, figure))
    if len({name for _, name in own}) > 1:
        models = list(dict.fromkeys(model for model, _ in own))
        states = [every | {"colour": "method", "network": model} for model in models]
        size = 4.6 * len(models) + 4.4, 4.6
        only = {name for _, name in own}
        titled = Figure(figure.panels, figure.choices, figure.filters)
        lines = paper.draw(titled, columns, states, size, only=only, titles=models, few=few)
        found["methods"] = lines, "the same, a line a method"
    return found


def _methods(table: Sequence[Row], figure: Figure) -> Iterator[tuple[str, str]]:
    """(network, method) of each line."""
    for mark in figure.panels[0].marks:
        if mark.kind == "line":
            yield str(table[mark.rows[0]]["model"]), mark.name


def _heat(table: Sequence[Row], figure: Figure, columns: Mapping[str, Column], y: str) -> Drawn:
    """Where the best cell is chosen, and y beside it."""
    keys = list(dict.fromkeys((chosen_on(table, y), y)))
    states = [figure.state | {"value": key} for key in keys]
    title = paper.shortened(str(figure.state["of"]), 50 * len(keys))
    shown = Figure(figure.panels, title=title)
    return paper.draw(shown, columns, states, (4.8 * len(keys), 4.0))


def _layers(figure: Figure, front: Sequence[int]) -> Drawn:
    """Bars of the smallest rows on the front."""
    names = dict(figure.choices["row"].options)
    rows = [i for i in front if i in names] or list(names)
    states = [{"row": i} for i in rows[:MOST_LAYERS]]
    panels = [[p for p in figure.panels if fits(p.when, state)] for state in states]
    longest = max(len(panel.y.names or ()) for line in panels for panel in line)
    size = 4.6 * max(map(len, panels)) + 1, (0.9 + 0.26 * longest) * len(states) + 0.4
    return paper.draw(figure, {}, states, size, titles=[names[state["row"]] for state in states])


def _training(table: Sequence[Row], figure: Figure) -> Drawn | None:
    """Validation accuracy over steps of the rows that end best."""
    panels = [panel for panel in figure.panels if fits(panel.when, {"metric": METRIC, "rows": []})]
    known: dict[Any, None] = {mark.when["rows"]: None for p in panels for mark in p.marks}
    if not known:
        return None
    best = sorted(known, key=lambda i: -table[i].mean.get(METRIC, 0.0))[:MOST_TRAINED]
    state = {"metric": METRIC, "rows": best}
    return paper.draw(figure, {}, [state], (9.0, 4.8), legend="outside lower left")
