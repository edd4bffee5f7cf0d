"""The curves of a sensitivity analysis as a figure."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from condenser.report.figures.style import STYLE, SUBTITLE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from condenser.analysis import Curve

MOST_LINES = 10  # more than these nobody tells apart: then each curve is a strip of colour
# Okabe and Ito's colours, then the same again with other markers.
COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#000000")
MARKERS = ("o", "s", "^", "D", "v")
LIMIT = "#0072b2"


def points(drop: float) -> str:
    """0.01 of accuracy in words: ``1 point``."""
    return f"{100 * drop:g} point{'' if 100 * drop == 1 else 's'}"


def draw(
    curves: Sequence[Curve], title: str, granularity: str, images: int, max_drop: float
) -> Figure:
    """Lines where there are few curves, else one strip of colour for each, in the model's order."""
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    lines = len(curves) <= MOST_LINES
    height = 5.0 if lines else 1.9 + 0.21 * len(curves)
    with matplotlib.rc_context(STYLE):
        layout = ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.12)
        figure = Figure(figsize=(9, height), dpi=160, layout=layout)
        FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        (_lines if lines else _strips)(figure, axes, curves, max_drop)
        axes.set_xlabel(f"{granularity} of the layer that are zero (%)")
        axes.set_title(title or "sensitivity", loc="left", fontsize=13, fontweight="bold", pad=24)
        below = f"one at a time, without fine-tuning · {images:,} validation images"
        axes.text(0, 1.0, f"{below}\n", transform=axes.transAxes, **SUBTITLE, va="center")
    return figure


def _lines(figure: Figure, axes: Axes, curves: Sequence[Curve], max_drop: float) -> None:
    floor = 100 * (curves[0].accuracy[0] - max_drop)
    axes.axhline(floor, color="#888888", linewidth=1, linestyle=(0, (4, 3)), zorder=1)
    axes.annotate(
        f"{points(max_drop)} lost",
        (0, floor),
        (0, -3),
        textcoords="offset points",
        va="top",
        **SUBTITLE,
    )
    for i, curve in enumerate(curves):
        axes.plot(
            [100 * rate for rate in curve.rates],
            [100 * accuracy for accuracy in curve.accuracy],
            color=COLORS[i % len(COLORS)],
            marker=MARKERS[(i + i // len(COLORS)) % len(MARKERS)],
            markersize=5.5,
            markeredgecolor="white",
            markeredgewidth=0.7,
            label=curve.unit,
        )
    axes.set_ylabel("validation accuracy (%)")
    axes.grid(color="#e6e6e6", linewidth=0.8)
    figure.legend(loc="outside right upper", frameon=False, labelspacing=0.8)


def _strips(figure: Figure, axes: Axes, curves: Sequence[Curve], max_drop: float) -> None:
    """Colour is the drop; a line is where it first passes ``max_drop``."""
    worst = max(0.05, *(drop for curve in curves for drop in curve.drops))
    for row, curve in enumerate(curves):
        rates = [100 * rate for rate in curve.rates]
        middles = [(a + b) / 2 for a, b in pairwise(rates)]
        edges = [0, *middles, min(100, 2 * rates[-1] - middles[-1])]
        drops = [[100 * drop for drop in curve.drops]]
        mesh = axes.pcolormesh(
            edges, [row - 0.42, row + 0.42], drops, cmap="OrRd", vmin=0, vmax=100 * worst
        )
        if curve.passes(max_drop):
            at = 100 * curve.rate_within(max_drop)
            axes.plot([at, at], [row - 0.42, row + 0.42], color=LIMIT, linewidth=2)
    axes.set(ylim=(len(curves) - 0.4, -0.6), xlim=(0, 100))
    axes.set_yticks(range(len(curves)), [curve.unit for curve in curves], fontsize=8.5)
    axes.tick_params(axis="y", length=0)
    label = f"points of accuracy lost; blue line: {points(max_drop)}"
    figure.colorbar(mesh, ax=axes, label=label, pad=0.02, aspect=30)
