"""One axis of the curve: its name, unit, scale and ticks that people can read."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from condenser.report import quantities

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# (decades that the values span, where ticks stand in each decade)
TICKS = ((0.8, (1.0, 1.5, 2.0, 3.0, 5.0, 7.0)), (1.5, (1.0, 2.0, 3.0, 5.0)), (3.0, (1.0, 2.0, 5.0)))


def set_axis(axes: Axes, side: Literal["x", "y"], key: str, values: Sequence[float]) -> None:
    """Costs stand on a log axis, where equal steps are equal ratios, the rest on a linear one.

    values are the record's; a cost of 0 has no place on a log axis and makes it linear.
    """
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    name, unit = quantities.name(key), quantities.unit(key)
    axes.grid(axis=side, color="#e6e6e6", linewidth=0.8)
    if not quantities.is_cost(key) or min(values) <= 0:
        axes.set(**{f"{side}label": f"{name} ({unit})" if unit else name, f"{side}margin": 0.08})
        return
    axis = axes.xaxis if side == "x" else axes.yaxis
    decades = math.log10(max(values) / min(values))
    margin = 10 ** max(0.09 * decades, 0.15)
    limits = (min(values) / margin, max(values) * margin)
    axes.set(**{f"{side}scale": "log", f"{side}lim": limits, f"{side}label": f"{name} (log scale)"})
    steps = next((steps for most, steps in TICKS if decades < most), (1.0,))
    axis.set_major_locator(LogLocator(subs=steps, numticks=30))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: quantities.tick(value, unit)))
