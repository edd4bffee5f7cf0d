"""The accuracy-vs-size curve: every model a point, the Pareto front a step line."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from condenser.errors import CondenserError, nearest
from condenser.report.analysis import labels, quantities
from condenser.report.analysis.columns import chosen_on, pareto
from condenser.report.analysis.table import Row
from condenser.report.figures.annotate import annotate
from condenser.report.figures.axis import set_axis
from condenser.report.figures.style import FRONT, STYLE, SUBTITLE, looks

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


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


def draw(rows: Sequence[Row], x: str = "size/file_bytes", y: str = "test/accuracy") -> Figure:
    """The figure for these rows; drawable says which of them can be on it."""
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    rows = labels.ordered(drawable(rows, x, y))
    best = pareto(rows, x, y) if quantities.is_cost(x) else []
    on_val = ", chosen on\nvalidation" if chosen_on(rows, y) != y else ""
    with matplotlib.rc_context(STYLE):
        layout = ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.12)
        figure = Figure(figsize=(9, 5.4), dpi=160, layout=layout)
        FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        _points(axes, rows, x, y)
        set_axis(axes, "x", x, [row.mean[x] for row in rows])
        set_axis(axes, "y", y, [row.mean[y] for row in rows])
        _front(axes, [rows[i] for i in best], x, y)
        _titles(axes, rows)
        _legend(figure, rows, f"Pareto front{on_val}" if best else "")
        annotate(figure, axes, rows, best, *_positions(rows, x, y))
    return figure


def image(figure: Figure, kind: str) -> bytes:
    """The figure as the bytes of a file, ``png`` or ``svg``; equal rows give equal bytes."""
    import matplotlib

    buffer = io.BytesIO()
    with matplotlib.rc_context(STYLE):
        if figure.get_layout_engine() is not None:  # laid out once, for both kinds
            figure.draw_without_rendering()
            figure.set_layout_engine("none")
        figure.savefig(buffer, format=kind, metadata={"Date": None} if kind == "svg" else None)
    return buffer.getvalue()


def _scale(key: str) -> float:
    return 100.0 if quantities.is_fraction(key) else 1.0


def _positions(rows: Sequence[Row], x: str, y: str) -> tuple[list[float], list[float]]:
    return [r.mean[x] * _scale(x) for r in rows], [r.mean[y] * _scale(y) for r in rows]


def _points(axes: Axes, rows: Sequence[Row], x: str, y: str) -> None:
    crowded = len(rows) > 40
    for stage, look in looks(rows).items():
        mine = [row for row in rows if row["stage"] == stage]
        axes.errorbar(
            *_positions(mine, x, y),
            xerr=_bars(mine, x),
            yerr=_bars(mine, y),
            **look,
            markersize=(5.5 if crowded else 8.5) * (1.35 if look["marker"] == "*" else 1),
            ecolor=(look["color"], 0.35 if crowded else 0.6),
            elinewidth=1.1,
            capsize=0 if crowded else 2.5,
            zorder=3,
        )


def _bars(rows: Sequence[Row], key: str) -> list[float] | None:
    """Half-lengths of the error bars; nan draws none, as one seed knows nothing of its spread."""
    bars = [row.std.get(key, 0.0) * _scale(key) or math.nan for row in rows]
    return None if all(map(math.isnan, bars)) else bars


def _front(axes: Axes, best: Sequence[Row], x: str, y: str) -> None:
    """A step line through the rows of the front, up to the right edge of the axes."""
    if not best:
        return
    xs, ys = _positions(best, x, y)
    edge = axes.get_xlim()
    axes.step([*xs, edge[1]], [*ys, ys[-1]], where="post", **FRONT, zorder=2)
    axes.set_xlim(edge)


def _legend(figure: Figure, rows: Sequence[Row], front: str) -> None:
    from matplotlib.lines import Line2D

    shown = looks(rows).items()
    handles = [Line2D([], [], **look, markersize=8, label=stage) for stage, look in shown]
    handles += [Line2D([], [], **FRONT, label=front)] * bool(front)
    figure.legend(handles=handles, loc="outside right upper", frameon=False, labelspacing=0.8)


def _titles(axes: Axes, rows: Sequence[Row]) -> None:
    experiments = dict.fromkeys(name for row in rows for name in row.experiments)
    data = dict.fromkeys(str(row["data"]) for row in rows if row["data"])
    few, many = min(row.n for row in rows), max(row.n for row in rows)
    seeds = f"{few}–{many} seeds" if few < many else f"{few} seed" + "s" * (few > 1)
    spread = f"mean ± sample std over {seeds}" if many > 1 else "one seed, no error bars"
    title = ", ".join(experiments) or "accuracy and size"
    axes.set_title(title, loc="left", fontsize=13, fontweight="bold", pad=24, parse_math=False)
    below = " · ".join([*data, spread])
    axes.text(0, 1.025, below, transform=axes.transAxes, **SUBTITLE, parse_math=False)
