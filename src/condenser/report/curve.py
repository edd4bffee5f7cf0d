"""The accuracy-vs-size curve: every model a point, the Pareto front a step line."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from condenser.errors import CondenserError, nearest
from condenser.report import labels, quantities
from condenser.report.columns import pareto
from condenser.report.annotate import annotate
from condenser.report.table import Row

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's colours, told apart by colour-blind readers too; a stage looks the same everywhere.
LOOKS = {
    "teacher": ("#000000", "s"),
    "student": ("#999999", "o"),
    "distill": ("#0072b2", "D"),
    "prune": ("#d55e00", "v"),
    "share": ("#cc79a7", "^"),
    "factorize": ("#b8a500", "P"),
    "quantize": ("#009e73", "X"),
    "export": ("#56b4e9", "*"),
}
OTHER = (("#7a5195", "h"), ("#8c564b", "<"), ("#444444", ">"))
FRONT: dict[str, Any] = {"color": "#555555", "linewidth": 1.2}
STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "svg.hashsalt": "condenser",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#666666",
    "axes.axisbelow": True,
}


def drawable(rows: Sequence[Row], x: str, y: str) -> list[Row]:
    """The rows that measured both x and y. Raises CondenserError where none did, naming what is there."""
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

    rows = labels.ordered(drawable(rows, x, y))
    best = pareto(rows, x, y) if quantities.is_cost(x) else []
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(9, 5.4), dpi=160, layout="constrained")
        figure.get_layout_engine().set(w_pad=0.12, h_pad=0.12)
        FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        _points(axes, rows, x, y)
        _axis(axes, "x", x, rows)
        _axis(axes, "y", y, rows)
        _front(axes, [rows[i] for i in best], x, y)
        _titles(axes, rows)
        _legend(figure, rows, bool(best))
        annotate(figure, axes, rows, best, *_positions(rows, x, y))
    return figure


def image(figure: Figure, kind: str) -> bytes:
    """The figure as the bytes of a file, ``png`` or ``svg``; equal rows give equal bytes."""
    import matplotlib

    buffer = io.BytesIO()
    with matplotlib.rc_context(STYLE):
        figure.savefig(buffer, format=kind, metadata={"Date": None} if kind == "svg" else None)
    return buffer.getvalue()


def _scale(key: str) -> float:
    return 100.0 if quantities.is_fraction(key) else 1.0


def _positions(rows: Sequence[Row], x: str, y: str) -> tuple[list[float], list[float]]:
    return [r.mean[x] * _scale(x) for r in rows], [r.mean[y] * _scale(y) for r in rows]


def _points(axes: Axes, rows: Sequence[Row], x: str, y: str) -> None:
    crowded = len(rows) > 40
    for stage, look in _looks(rows).items():
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


def _looks(rows: Sequence[Row]) -> dict[str, dict[str, Any]]:
    """How each stage's points are drawn, in the order of the stages."""
    stages = list(dict.fromkeys(str(row["stage"]) for row in rows))
    others = [stage for stage in stages if stage not in LOOKS]
    found = {}
    for stage in stages:
        color, marker = LOOKS.get(stage) or OTHER[others.index(stage) % len(OTHER)]
        edge = {"markeredgecolor": "white", "markeredgewidth": 0.7}
        found[stage] = {"color": color, "marker": marker, "linestyle": "none", **edge}
    return found


def _bars(rows: Sequence[Row], key: str) -> list[float] | None:
    """Half-lengths of the error bars; nan draws none, which is what one seed knows of its spread."""
    bars = [row.std.get(key, 0.0) * _scale(key) or math.nan for row in rows]
    return None if all(map(math.isnan, bars)) else bars


def _axis(axes: Axes, side: Literal["x", "y"], key: str, rows: Sequence[Row]) -> None:
    """Name, unit, scale and round ticks. Costs stand on a log axis, where equal steps are equal ratios."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    axis = axes.xaxis if side == "x" else axes.yaxis
    values = [row.mean[key] for row in rows]
    name, unit = quantities.name(key), quantities.unit(key)
    axes.grid(axis=side, color="#e6e6e6", linewidth=0.8)
    if not quantities.is_cost(key) or min(values) <= 0:
        axes.set(**{f"{side}label": f"{name} ({unit})" if unit else name})
        axes.margins(**{side: 0.08})
        return
    decades = math.log10(max(values) / min(values))
    margin = 10 ** max(0.07 * decades, 0.08)
    limits = (min(values) / margin, max(values) * margin)
    axes.set(**{f"{side}scale": "log", f"{side}lim": limits, f"{side}label": f"{name} (log scale)"})
    steps = (1, 1.5, 2, 3, 4, 5, 6, 8) if decades < 0.8 else (1, 2, 3, 5) if decades < 1.5 else (1, 2, 5) if decades < 3 else (1,)
    axis.set_major_locator(LogLocator(subs=steps, numticks=30))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: quantities.tick(value, unit)))


def _front(axes: Axes, best: Sequence[Row], x: str, y: str) -> None:
    """The best accuracy that each size can buy, up to the right edge of the axes."""
    if not best:
        return
    xs, ys = _positions(best, x, y)
    edge = axes.get_xlim()
    axes.step([*xs, edge[1]], [*ys, ys[-1]], where="post", **FRONT, zorder=2)
    axes.set_xlim(edge)


def _legend(figure: Figure, rows: Sequence[Row], has_front: bool) -> None:
    from matplotlib.lines import Line2D

    looks = _looks(rows)
    handles = [Line2D([], [], **look, markersize=8, label=s) for s, look in looks.items()]
    handles += [Line2D([], [], **FRONT, label="Pareto front")] * has_front
    figure.legend(handles=handles, loc="outside right upper", frameon=False, labelspacing=0.8)


def _titles(axes: Axes, rows: Sequence[Row]) -> None:
    experiments = dict.fromkeys(name for row in rows for name in row.experiments)
    data = dict.fromkeys(str(row["data"]) for row in rows if row["data"])
    few, many = min(row.n for row in rows), max(row.n for row in rows)
    seeds = f"{few}–{many} seeds" if few < many else f"{few} seed" + "s" * (few > 1)
    spread = f"mean ± sample std over {seeds}" if many > 1 else "one seed, no error bars"
    title = ", ".join(experiments) or "accuracy and size"
    axes.set_title(title, loc="left", fontsize=13, fontweight="bold", pad=24)
    below = " · ".join([*data, spread])
    axes.text(0, 1.025, below, transform=axes.transAxes, color="#555555", fontsize=9.5)
