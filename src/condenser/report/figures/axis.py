"""One axis of the curve: its name, unit, scale and ticks that people can read."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Literal

from condenser.report.analysis import quantities

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from condenser.report.figures.description import Column

# where ticks stand in each decade, the most first
TICKS = ((1.0, 1.5, 2.0, 3.0, 5.0, 7.0), (1.0, 2.0, 3.0, 5.0), (1.0, 2.0, 5.0), (1.0, 3.0), (1.0,))
LABEL = {"x": 0.62, "y": 0.3}  # inches that a tick's label takes


def set_axis(axes: Axes, side: Literal["x", "y"], column: Column, values: Sequence[float]) -> None:
    """Costs stand on a log axis, where equal steps are equal ratios, the rest on a linear one.

    A cost of 0 has no place on a log axis and makes it linear.
    """
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    name, unit = column.name, column.unit
    axes.grid(axis=side, color="#e6e6e6", linewidth=0.8)
    if not column.cost or min(values, default=0) <= 0:
        axes.set(**{f"{side}label": f"{name} ({unit})" if unit else name, f"{side}margin": 0.08})
        return
    axis = axes.xaxis if side == "x" else axes.yaxis
    decades = math.log10(max(values) / min(values))
    margin = 10 ** max(0.09 * decades, 0.15)
    limits = (min(values) / margin, max(values) * margin)
    axes.set(**{f"{side}scale": "log", f"{side}lim": limits, f"{side}label": f"{name} (log scale)"})
    box, figure = axes.get_window_extent(), axes.get_figure(root=True)
    assert figure is not None
    inches = (box.width if side == "x" else box.height) / figure.dpi
    decade = inches / math.log10(limits[1] / limits[0])
    steps = next((steps for steps in TICKS if closest(steps) * decade >= LABEL[side]), (1.0,))
    axis.set_major_locator(LogLocator(subs=steps, numticks=30))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: quantities.tick(value, unit)))


def closest(steps: Sequence[float]) -> float:
    """The least distance of two ticks, in decades."""
    return min(math.log10(b / a) for a, b in pairwise((*steps, 10 * steps[0])))
