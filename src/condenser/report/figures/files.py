"""Maps, layers and training curves for papers: what the page shows, at its best settings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from condenser.report.analysis import columns, heat, labels, quantities, settings
from condenser.report.analysis.table import Row
from condenser.report.analysis.training import Curve, of_rows
from condenser.report.figures import layers
from condenser.report.figures.series import scale, shortened
from condenser.report.figures.style import COLORS, STYLE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LAYERS, TRAINED = 2, 8  # rows and lines of one figure
METRIC = "val/accuracy"


@contextmanager
def _figure(across: int, down: int, width: float, height: float) -> Iterator[tuple[Figure, Any]]:
    """An empty figure of so many panels, in the style of all."""
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    with matplotlib.rc_context(STYLE):
        layout = ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.12)
        figure = Figure(figsize=(width, height), dpi=160, layout=layout)
        FigureCanvasAgg(figure)
        yield figure, figure.subplots(down, across, squeeze=False)


def heat_figure(rows: Sequence[Row], y: str) -> Figure | None:
    """The map whose best cell is best on validation, and y beside it; None where no two settings
    were crossed."""
    by = columns.chosen_on(rows, y)
    found = [one for one in heat.maps(rows) if _values(rows, one, by) and _values(rows, one, y)]
    if not found:
        return None
    one = max(found, key=lambda one: max(_values(rows, one, by)))
    keys = list(dict.fromkeys((by, y)))
    with _figure(len(keys), 1, 4.8 * len(keys), 4.0) as (figure, places):
        for axes, key in zip(places[0], keys, strict=True):
            values = _values(rows, one, key)
            _map(axes, rows, one, key, (min(values), max(values)))
            axes.set_title(quantities.name(key), fontsize=10, loc="left", fontweight="bold")
        figure.suptitle(shortened(one.title), fontsize=10)
    return figure


def _values(rows: Sequence[Row], one: heat.Map, y: str) -> list[float]:
    cells = [i for line in one.cells for i in line if i is not None]
    return [rows[i].mean[y] * scale(y) for i in cells if y in rows[i].mean]


def _map(axes: Axes, rows: Sequence[Row], one: heat.Map, y: str, span: tuple[float, float]) -> None:
    values = [
        [float("nan") if i is None else rows[i].mean.get(y, float("nan")) * scale(y) for i in line]
        for line in one.cells
    ]
    low, high = span
    axes.imshow(values, cmap="viridis", aspect="auto", origin="lower", vmin=low, vmax=high)
    for up, line in enumerate(values):
        for across, value in enumerate(line):
            if value == value:
                color = "black" if value > low + 0.6 * (high - low) else "white"
                said = f"{value:.2f}"
                axes.text(across, up, said, ha="center", va="center", color=color, fontsize=9)
    axes.set_xticks(range(len(one.xs)), [f"{x:g}" for x in one.xs])
    axes.set_yticks(range(len(one.ys)), [f"{v:g}" for v in one.ys])
    axes.set(xlabel=settings.head(one.x), ylabel=settings.head(one.y))


def layers_figure(rows: Sequence[Row]) -> Figure | None:
    """Bars of the smallest rows on the front; None where no record tells of layers."""
    known = set(layers.known(rows))
    front = [i for i in columns.pareto(rows, columns.FILE, columns.ACCURACY) if i in known]
    shown = (front or sorted(known))[:LAYERS]
    if not shown:
        return None
    found = [layers.of(rows[i]) for i in shown]
    metrics = [metric for metric in layers.METRICS if any(metric in one for one in found)]
    names = labels.full_names(rows)
    longest = max(len(values) for one in found for values in one.values())
    size = (4.6 * len(metrics) + 1, (0.9 + 0.26 * longest) * len(shown) + 0.4)
    with _figure(len(metrics), len(shown), *size) as (figure, places):
        for line, i, one in zip(places, shown, found, strict=True):
            for axes, metric in zip(line, metrics, strict=True):
                _bars(axes, metric, one.get(metric, {}))
            title = shortened(names[i].replace("\n", ", "))
            line[0].set_title(title, loc="left", fontsize=10, fontweight="bold", parse_math=False)
    return figure


def _bars(axes: Axes, metric: str, values: dict[str, float]) -> None:
    words, unit = layers.METRICS[metric]
    factor = 100.0 if unit == "%" else 1.0
    lengths = [factor * value for value in values.values()]
    axes.barh(range(len(lengths)), lengths, color=COLORS[list(layers.METRICS).index(metric) + 2])
    axes.set_yticks(range(len(lengths)), list(values), fontsize=8.5, parse_math=False)
    axes.invert_yaxis()
    axes.set_xlabel(f"{words} ({unit})" if unit else words)
    for place, value in enumerate(lengths):
        said = quantities.si(value, "B") if unit == "B" else f"{value:.3g}"
        axes.annotate(said, (value, place), (3, 0), textcoords="offset points", va="center", size=8)
    axes.margins(x=0.16)


def training_figure(rows: Sequence[Row], curves: Sequence[Curve]) -> Figure | None:
    """Validation accuracy over steps of the rows that end best; None without curves."""
    known = {i: [c for c in own if METRIC in c.metrics] for i, own in of_rows(rows, curves).items()}
    best = sorted((i for i in known if known[i]), key=lambda i: -rows[i].mean.get(METRIC, 0.0))
    if not best:
        return None
    names = labels.full_names(rows)
    with _figure(1, 1, 9, 4.8) as (figure, places):
        axes = places[0][0]
        for place, i in enumerate(best[:TRAINED]):
            for number, one in enumerate(known[i]):
                steps, values = one.metrics[METRIC]
                label = shortened(names[i].replace("\n", ", ")) if number == 0 else None
                shown = [100 * value for value in values]
                axes.plot(steps, shown, color=COLORS[place], linewidth=1.2, label=label)
        axes.set(xlabel="optimiser steps", ylabel=f"{quantities.name(METRIC)} (%)")
        axes.grid(color="#e6e6e6", linewidth=0.8)
        figure.legend(loc="outside lower left", frameon=False, fontsize=8.5)
    return figure
