"""Figures for papers: a description drawn by matplotlib, as PNG and SVG."""

from __future__ import annotations

import io
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, NamedTuple

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

PANEL: dict[str, Any] = {"fontsize": 10, "fontweight": "bold"}
LONGEST = 56  # letters of a name
Columns = Mapping[str, Column]
Size = tuple[float, float]
Front = tuple[Any, ...]


def draw(
    figure: Figure,
    columns: Columns,
    states: Sequence[State],
    size: Size = (9.0, 5.4),
    *,
    names: Sequence[str] = (),
    only: Collection[str] | None = None,
    titles: Sequence[str] = (),
    few: bool = True,
    legend: str = "outside right upper",
) -> Drawn:
    """The figure, a panel or a line of panels for each state.

    size: inches. names: of the rows, written beside a front. only: the marks to draw, by name.
    titles: of the first panel of each state. few: there is room for large points.
    """
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure as Drawn
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    lines = [[p for p in figure.panels if fits(p.when, state)] for state in states]
    wide = max(map(len, lines))
    with matplotlib.rc_context(STYLE):
        layout = ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.12)
        drawn = Drawn(figsize=size, dpi=160, layout=layout)
        FigureCanvasAgg(drawn)
        grid = (len(lines), wide) if wide > 1 else (1, len(lines))
        places = drawn.subplots(*grid, squeeze=False).reshape(-1, wide)
        every: list[Shown] = []
        fronts = []
        for line, panels, state, title in zip_longest(places, lines, states, titles):
            for axes, panel in zip_longest(line, panels):
                if panel is None:
                    axes.set_visible(False)
                    continue
                marks = shown(figure, panel, state, columns, only)
                fronts += [(axes, *front) for front in _panel(axes, panel, marks, few)]
                every += marks
            if title:
                line[0].set_title(shortened(title), loc="left", **PANEL, parse_math=False)
        _title(drawn, figure)
        _legend(drawn, every, legend)
        for axes, best, xs, ys in fronts if names else ():
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


class Shown(NamedTuple):
    """A mark with what is chosen for it: its rows, its colour, the columns of its axes."""

    mark: Mark
    rows: list[int]
    color: str
    x: Column | None
    y: Column | None

    @property
    def xs(self) -> Sequence[float]:
        return self.mark.x if self.mark.x is not None else values(self.x, self.rows)

    @property
    def ys(self) -> Sequence[float]:
        return self.mark.y if self.mark.y is not None else values(self.y, self.rows)


def shown(
    figure: Figure, panel: Panel, state: State, columns: Columns, only: Collection[str] | None
) -> list[Shown]:
    """The marks of a panel that have something to show."""
    x, y = (columns.get(quantity(axis, state)) for axis in (panel.x, panel.y))
    found = []
    for mark in panel.marks:
        if fits(mark.when, state) and (only is None or mark.name in {*only, ""}):
            if mark.kind == "cells":
                found.append(Shown(mark, [], "", columns[str(state[mark.quantity[1:]])], None))
            elif (rows := rows_of(figure, mark, state, [x, y])) or mark.x is not None:
                found.append(Shown(mark, rows, _color(mark, state), x, y))
    return found


def values(column: Column | None, rows: Sequence[int], spread: str = "mean") -> list[float]:
    """Numbers of rows as people read them; nan for a spread that one seed does not have."""
    numbers = getattr(column, spread)
    return [(math.nan if numbers[i] is None else numbers[i]) * column.scale for i in rows]  # type: ignore[union-attr]


def _color(mark: Mark, state: State) -> str:
    """Its own, or that of its place among several that are chosen."""
    lists = ((key, chosen) for key in mark.when if isinstance(chosen := state[key], list))
    place = next((chosen.index(mark.when[key]) for key, chosen in lists), 0)
    return mark.color or PALETTE[place % len(PALETTE)]


def _panel(axes: Axes, panel: Panel, marks: Sequence[Shown], few: bool) -> Iterator[Front]:
    """Draws one panel; gives the rows of its front, and where every row stands."""
    for one in marks:
        _mark(axes, one, few)
    own = [i for one in marks if one.mark.kind in ("points", "line") for i in one.rows]
    x, y = (marks[0].x, marks[0].y) if own else (None, None)
    _axis(axes, "x", panel.x, x, own)
    _axis(axes, "y", panel.y, y, own)
    if not (own or panel.x.names or panel.y.names):
        axes.grid(color="#e6e6e6", linewidth=0.8)
    for one in marks:
        if one.mark.kind == "step":  # up to the edge, which is known now
            edge, (xs, ys) = axes.get_xlim(), (one.xs, one.ys)
            look: dict[str, Any] = {"color": one.color, "linewidth": 1.2, "zorder": 2}
            axes.step([*xs, edge[1]], [*ys, ys[-1]], where="post", **look)
            axes.set_xlim(edge)
            rows = list({*own, *one.rows})
            at = (dict(zip(rows, values(column, rows), strict=True)) for column in (x, y))
            yield one.rows, *at


def _mark(axes: Axes, one: Shown, few: bool) -> None:
    mark, color = one.mark, one.color
    if mark.kind == "level":
        for level in one.ys:
            axes.axhline(level, color=color, linewidth=0.9, linestyle=":", zorder=1)
    elif mark.kind == "line":
        axes.plot(one.xs, one.ys, color=color, linewidth=1.3, linestyle="--" if mark.dash else "-")
    elif mark.kind == "points":
        bars = ([v or math.nan for v in values(c, one.rows, "std")] for c in (one.x, one.y))
        x_bars, y_bars = (None if all(map(math.isnan, own)) else own for own in bars)
        axes.errorbar(
            one.xs,
            one.ys,
            xerr=x_bars,
            yerr=y_bars,
            **_marker(mark, color, 8.5 if few else 5.5),
            linestyle="none",
            ecolor=(color, 0.6 if few else 0.35),
            elinewidth=1.1,
            capsize=2.5 if few else 0,
            zorder=3,
        )
    elif mark.kind == "bars":
        axes.barh(range(len(one.xs)), one.xs, color=color)
        for place, (x, text) in enumerate(zip(one.xs, mark.text or (), strict=True)):
            axes.annotate(text, (x, place), (3, 0), textcoords="offset points", va="center", size=8)
        axes.margins(x=0.16)
    elif mark.kind == "cells" and one.x:
        _cells(axes, mark, one.x)


def _marker(mark: Mark, color: str, size: float) -> dict[str, Any]:
    size *= 1.35 if mark.marker == "*" else 1
    edge = {"markeredgecolor": "white", "markeredgewidth": 0.7}
    return {"marker": mark.marker, "color": color, "markersize": size, **edge}


def _axis(axes: Axes, side: Any, axis: Axis, column: Column | None, rows: Sequence[int]) -> None:
    if axis.names is not None:
        ticks = axes.set_xticks if side == "x" else axes.set_yticks
        ticks(range(len(axis.names)), list(axis.names), fontsize=8.5, parse_math=False)
        if axis.down:
            axes.invert_yaxis()
    elif column is not None:
        set_axis(axes, side, column, values(column, rows))
    if axis.title:
        axes.set(**{f"{side}label": axis.title})


def _cells(axes: Axes, mark: Mark, column: Column) -> None:
    """A map: a colour a row, and its number; missing where nothing was run."""
    nan = float("nan")
    numbers = [[nan if i is None else values(column, [i])[0] for i in line] for line in mark.rows]
    known = [value for line in numbers for value in line if value == value]
    low, high = min(known, default=0.0), max(known, default=1.0)
    cmap = "viridis_r" if column.less else "viridis"
    axes.imshow(numbers, cmap=cmap, aspect="auto", origin="lower", vmin=low, vmax=high)
    for y, line in enumerate(numbers):
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


def _legend(drawn: Drawn, marks: Sequence[Shown], where: str) -> None:
    """Every name once, with its marker and its line; fronts last."""
    from matplotlib.lines import Line2D

    looks: dict[str, dict[str, Any]] = {}
    for one in sorted(marks, key=lambda one: one.mark.kind == "step"):
        look = looks.setdefault(one.mark.name, {"linestyle": "none", "color": one.color})
        if one.mark.kind == "points":
            look |= _marker(one.mark, one.color, 8)
        else:
            look |= {"linestyle": "--" if one.mark.dash else "-", "linewidth": 1.3}
    looks.pop("", None)
    handles = [Line2D([], [], **look, label=shortened(name)) for name, look in looks.items()]
    if handles:
        size = 10 if where.endswith("upper") else 8.5
        drawn.legend(handles=handles, loc=where, frameon=False, labelspacing=0.8, fontsize=size)
