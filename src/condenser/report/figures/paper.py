"""Figures for papers: a description drawn by matplotlib, as PNG and SVG."""

from __future__ import annotations

import io
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from condenser.report.figures.annotate import annotate
from condenser.report.figures.axis import set_axis
from condenser.report.figures.description import (
    Axis,
    Column,
    Figure,
    Mark,
    Panel,
    State,
    fits,
    quantity,
    rows_of,
)
from condenser.report.figures.style import PALETTE, STYLE, SUBTITLE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Drawn

CROWDED = 40  # points of one panel
PANEL: dict[str, Any] = {"fontsize": 10, "fontweight": "bold"}
LONGEST = 56  # letters of a name
Columns = Mapping[str, Column]
Size = tuple[float, float]


def draw(
    figure: Figure,
    columns: Columns,
    states: Sequence[State],
    size: Size = (9.0, 5.4),
    *,
    names: Sequence[str] = (),
    only: Iterable[str] | None = None,
    titles: Sequence[str] = (),
    legend: str = "outside right upper",
) -> Drawn:
    """The figure, a panel or a line of panels for each state.

    size: inches. names: of the rows, written beside a front. only: the marks to draw, by name.
    titles: of the first panel of each state.
    """
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure as Drawn
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    lines = [[p for p in figure.panels if fits(p.when, state)] for state in states]
    wide = max(map(len, lines))
    grid = (len(lines), wide) if wide > 1 else (1, len(lines))
    with matplotlib.rc_context(STYLE):
        layout = ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.12)
        drawn = Drawn(figsize=size, dpi=160, layout=layout)
        FigureCanvasAgg(drawn)
        places = iter(drawn.subplots(*grid, squeeze=False).flat)
        fronts = []
        chosen = [
            [[m for m in p.marks if fits(m.when, state) and _wanted(m, only)] for p in panels]
            for state, panels in zip(states, lines, strict=True)
        ]
        few = _points(figure, lines, chosen, states, columns) <= CROWDED
        for number, (state, panels) in enumerate(zip(states, lines, strict=True)):
            for panel, marks in zip(panels, chosen[number], strict=True):
                axes = next(places)
                if panel is panels[0] and titles:
                    own = shortened(titles[number])
                    axes.set_title(own, loc="left", **PANEL, parse_math=False)
                one = _panel(axes, figure, panel, marks, state, columns, few)
                fronts += [(axes, *front) for front in one]
            for _ in range(wide - len(panels)):
                next(places).set_visible(False)
        _title(drawn, figure)
        every = [(m, s) for ps, s in zip(chosen, states, strict=True) for ms in ps for m in ms]
        _legend(drawn, every, legend)
        if names:
            for axes, best, xs, ys in fronts:
                annotate(drawn, axes, names, best, xs, ys)
    return drawn


def image(drawn: Drawn, kind: str) -> bytes:
    """The figure as the bytes of a file, ``png`` or ``svg``; equal figures give equal bytes."""
    import matplotlib

    buffer = io.BytesIO()
    with matplotlib.rc_context(STYLE):
        if drawn.get_layout_engine() is not None:  # laid out once, for both kinds
            drawn.draw_without_rendering()
            drawn.set_layout_engine("none")
        drawn.savefig(buffer, format=kind, metadata={"Date": None} if kind == "svg" else None)
    return buffer.getvalue()


def shortened(name: str, most: int = LONGEST) -> str:
    """A legend leaves room for what it explains."""
    return name if len(name) <= most else f"{name[: most - 1]}…"


def _wanted(mark: Mark, only: Iterable[str] | None) -> bool:
    return only is None or mark.name in {*only, ""}


def _points(
    figure: Figure,
    lines: Sequence[Sequence[Panel]],
    chosen: Sequence[Sequence[Sequence[Mark]]],
    states: Sequence[State],
    columns: Columns,
) -> int:
    """How many points all panels have together."""
    return sum(
        len(rows_of(figure, mark, state, [columns.get(quantity(a, state)) for a in (p.x, p.y)]))
        for state, panels, marks in zip(states, lines, chosen, strict=True)
        for p, own in zip(panels, marks, strict=True)
        for mark in own
        if mark.kind == "points"
    )


def _panel(
    axes: Axes,
    figure: Figure,
    panel: Panel,
    marks: Sequence[Mark],
    state: State,
    columns: Columns,
    few: bool,
) -> Iterator[tuple[list[int], dict[int, float], dict[int, float]]]:
    """Draws one panel; gives the rows of its front, and where every row stands."""
    x, y = (columns.get(quantity(axis, state)) for axis in (panel.x, panel.y))
    known = [(mark, rows_of(figure, mark, state, [x, y])) for mark in marks if mark.kind != "cells"]
    own = [i for mark, rows in known if mark.kind in ("points", "line") for i in rows]
    for mark, rows in known:
        _mark(axes, mark, [_values(mark, rows, x, "x"), _values(mark, rows, y, "y")], few, state)
    for side, axis, column in (("x", panel.x, x), ("y", panel.y, y)):
        _axis(axes, side, axis, column, own)
    if not (panel.x.names or panel.y.names or x or y):
        axes.grid(color="#e6e6e6", linewidth=0.8)
    for mark in marks:
        if mark.kind == "cells":
            _cells(axes, mark, columns[str(state[mark.quantity[1:]])])
    for mark, rows in known:
        if mark.kind == "step" and rows and x and y:
            edge = axes.get_xlim()
            xs, ys = ({i: _at(c, i) for i in {*own, *rows}} for c in (x, y))
            across = [xs[i] for i in rows]
            up = [ys[i] for i in rows]
            axes.step(
                [*across, edge[1]],
                [*up, up[-1]],
                where="post",
                color=mark.color,
                linewidth=1.2,
                zorder=2,
            )
            axes.set_xlim(edge)
            yield rows, xs, ys


def _at(column: Column, i: int) -> float:
    mean = column.mean[i]
    assert mean is not None
    return mean * column.scale


Values = tuple[Sequence[float], Sequence[float] | None]
"""numbers, and half-lengths of their bars"""


def _values(mark: Mark, rows: Sequence[int], column: Column | None, side: str) -> Values:
    given = getattr(mark, side)
    if given is not None or column is None:
        return given if given is not None else range(len(mark.x or ())), None
    bars = [(column.std[i] or math.nan) * column.scale for i in rows]
    return [_at(column, i) for i in rows], None if all(map(math.isnan, bars)) else bars


def _mark(axes: Axes, mark: Mark, values: Sequence[Values], few: bool, state: State) -> None:
    (xs, x_bars), (ys, y_bars) = values
    color = _color(mark, state)
    if mark.kind == "level":
        for level in ys:
            axes.axhline(level, color=color, linewidth=0.9, linestyle=":", zorder=1)
    elif mark.kind == "line":
        axes.plot(
            xs,
            ys,
            color=color,
            linewidth=1.3,
            linestyle="--" if mark.dash else "-",
        )
    elif mark.kind == "points" and len(xs):
        star = 1.35 if mark.marker == "*" else 1
        axes.errorbar(
            xs,
            ys,
            xerr=x_bars,
            yerr=y_bars,
            color=color,
            marker=mark.marker,
            linestyle="none",
            markeredgecolor="white",
            markeredgewidth=0.7,
            markersize=(8.5 if few else 5.5) * star,
            ecolor=(color, 0.6 if few else 0.35),
            elinewidth=1.1,
            capsize=2.5 if few else 0,
            zorder=3,
        )
    elif mark.kind == "bars":
        axes.barh(range(len(xs)), xs, color=color)
        for place, (value, text) in enumerate(zip(xs, mark.text or (), strict=True)):
            axes.annotate(
                text, (value, place), (3, 0), textcoords="offset points", va="center", size=8
            )
        axes.margins(x=0.16)


def _color(mark: Mark, state: State) -> str:
    """Its own, or that of its place among several that are chosen."""
    lists = ((key, chosen) for key in mark.when if isinstance(chosen := state[key], list))
    place = next((chosen.index(mark.when[key]) for key, chosen in lists), 0)
    return mark.color or PALETTE[place % len(PALETTE)]


def _axis(axes: Axes, side: Any, axis: Axis, column: Column | None, rows: Sequence[int]) -> None:
    if axis.names is not None:
        ticks = axes.set_xticks if side == "x" else axes.set_yticks
        ticks(range(len(axis.names)), list(axis.names), fontsize=8.5, parse_math=False)
        if axis.down:
            axes.invert_yaxis()
    elif column is not None:
        set_axis(axes, side, column, [_at(column, i) for i in rows])
    if axis.title:
        axes.set(**{f"{side}label": axis.title})


def _cells(axes: Axes, mark: Mark, column: Column) -> None:
    """A map: a colour a row, and its number; missing where nothing was run."""
    nan = float("nan")
    values = [
        [nan if i is None or column.mean[i] is None else _at(column, i) for i in line]
        for line in mark.rows
    ]
    known = [value for line in values for value in line if value == value]
    low, high = min(known, default=0.0), max(known, default=1.0)
    cmap = "viridis_r" if column.less else "viridis"
    axes.imshow(values, cmap=cmap, aspect="auto", origin="lower", vmin=low, vmax=high)
    for y, line in enumerate(values):
        for x, value in enumerate(line):
            if value == value:
                bright = (value > low + 0.6 * (high - low)) != column.less
                said = f"{value:.2f}" if column.scale > 1 else f"{value:.3g}"
                color = "black" if bright else "white"
                axes.text(x, y, said, ha="center", va="center", color=color, fontsize=9)
    axes.set_title(column.name, loc="left", **PANEL)


def _title(drawn: Drawn, figure: Figure) -> None:
    if figure.subtitle:
        axes = drawn.axes[0]
        axes.set_title(
            figure.title, loc="left", fontsize=13, fontweight="bold", pad=24, parse_math=False
        )
        axes.text(0, 1.025, figure.subtitle, transform=axes.transAxes, **SUBTITLE, parse_math=False)
    elif figure.title:
        drawn.suptitle(figure.title, fontsize=10, parse_math=False)


def _legend(drawn: Drawn, marks: Sequence[tuple[Mark, State]], where: str) -> None:
    """Every name once, with its marker and its line; fronts last."""
    from matplotlib.lines import Line2D

    looks: dict[str, dict[str, Any]] = {}
    for mark, state in sorted(marks, key=lambda one: one[0].kind == "step"):
        if mark.name and mark.kind != "bars":
            look = looks.setdefault(mark.name, {"linestyle": "none", "color": _color(mark, state)})
            if mark.kind == "points":
                look |= {"marker": mark.marker, "markersize": 8, "markeredgecolor": "white"}
            else:
                look |= {"linestyle": "--" if mark.dash else "-", "linewidth": 1.3}
    handles = [Line2D([], [], **look, label=shortened(name)) for name, look in looks.items()]
    if handles:
        size = 10 if where.endswith("upper") else 8.5
        drawn.legend(handles=handles, loc=where, frameon=False, labelspacing=0.8, fontsize=size)
