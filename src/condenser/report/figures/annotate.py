"""Names beside the points of the Pareto front, where they cover neither points nor each other."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from condenser.report.figures.label_placement import Box, Point, place

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Lengths in typographic points, which are the same in the PNG and in the SVG.
MARKER = 6.5  # half the side of the square around a marker
LINE = 2.5  # half the width that a line claims
GAP = 9.0  # from a point to its name
FAR = 20.0  # from here on a line ties the name to its point
EDGE = 4.0  # from a name to the edge of the axes
MOST = 10  # more names than this nobody reads
WORDS: dict[str, Any] = {"fontsize": 8.5, "color": "#222222"}


def annotate(
    figure: Figure,
    axes: Axes,
    names: Sequence[str],
    best: Sequence[int],
    xs: Mapping[int, float],
    ys: Mapping[int, float],
) -> None:
    """Name the rows whose indices are in best, the front; of a long one MOST rows, well apart.

    xs and ys are the data coordinates of all rows that are drawn. The layout is settled first and
    then kept, since a name's place depends on everything around it.
    """
    if not best:
        return
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    scale = 72 / figure.dpi
    data = axes.transData.transform([(xs[i], ys[i]) for i in xs]) * scale
    points: dict[int, Point] = {i: (float(x), float(y)) for i, (x, y) in zip(xs, data, strict=True)}
    left, bottom, right, top = (float(edge) * scale for edge in axes.get_window_extent().extents)
    shown = _spread(best, points)
    boxes = place(
        [points[i] for i in shown],
        [_size(axes, names[i], scale) for i in shown],
        Box(left + EDGE, bottom + EDGE, right - EDGE, top - EDGE),
        [Box(x - MARKER, y - MARKER, x + MARKER, y + MARKER) for x, y in points.values()],
        [*_steps([points[i] for i in best], right), *_bars(axes, scale)],
        GAP,
    )
    for i, box in zip(shown, boxes, strict=True):
        if box is not None:
            _name(axes, names[i], (xs[i], ys[i]), points[i], box)


def _spread(best: Sequence[int], points: Mapping[int, Point]) -> list[int]:
    """All of the front, or MOST of it: both ends, then always the one farthest from these."""
    if len(best) <= MOST:
        return list(best)
    chosen = [best[0], best[-1]]
    while len(chosen) < MOST:
        gaps = {i: min(math.dist(points[i], points[j]) for j in chosen) for i in best}
        chosen.append(max(gaps, key=lambda i: gaps[i]))
    return [i for i in best if i in chosen]


def _size(axes: Axes, text: str, scale: float) -> Point:
    """Width and height of the text as it will be drawn."""
    drawn = axes.text(0, 0, text, parse_math=False, **WORDS)
    extent = drawn.get_window_extent()
    drawn.remove()
    return extent.width * scale, extent.height * scale


def _steps(points: Sequence[Point], right: float) -> list[Box]:
    """The front's line as thin boxes."""
    boxes = []
    for (x, y), (to_x, to_y) in zip(points, [*points[1:], (right, math.nan)], strict=True):
        boxes.append(Box(x, y - LINE, to_x, y + LINE))
        if not math.isnan(to_y):
            boxes.append(Box(to_x - LINE, y, to_x + LINE, to_y))
    return boxes


def _bars(axes: Axes, scale: float) -> list[Box]:
    """The error bars as thin boxes, as they were drawn."""
    from matplotlib.container import ErrorbarContainer

    boxes = []
    for container in axes.containers:
        assert isinstance(container, ErrorbarContainer)
        for lines in container.lines[2]:  # (points, caps, bars)
            for segment in filter(len, lines.get_segments()):  # none where one seed has no spread
                ends = axes.transData.transform(segment) * scale
                left, bottom = ends.min(axis=0)
                right, top = ends.max(axis=0)
                boxes.append(Box(left - LINE, bottom - LINE, right + LINE, top + LINE))
    return boxes


def _name(axes: Axes, name: str, at: Point, point: Point, box: Box) -> None:
    """Write the name into its box, with a line to the point if that is not next to it."""
    from matplotlib.patheffects import withStroke

    x, y = box.nearest(point)
    reach = math.hypot(x - point[0], y - point[1])
    width, height = box.right - box.left, box.top - box.bottom
    line = {
        "arrowstyle": "-",
        "color": "#999999",
        "linewidth": 0.7,
        "shrinkA": 1,
        "shrinkB": MARKER - 1,
        "relpos": ((x - box.left) / width, (y - box.bottom) / height),
    }
    axes.annotate(
        name,
        at,
        xytext=(box.left - point[0], box.bottom - point[1]),
        textcoords="offset points",
        verticalalignment="bottom",
        arrowprops=line if reach > FAR else None,
        parse_math=False,
        zorder=5,
        path_effects=[withStroke(linewidth=2.5, foreground="white")],
        **WORDS,
    )
