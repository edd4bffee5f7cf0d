"""Methods over a range of sizes: a panel a network, a line a method, where a sweep made lines."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from condenser.report.analysis import labels, quantities
from condenser.report.analysis.settings import setting
from condenser.report.analysis.table import Row
from condenser.report.figures.axis import set_axis
from condenser.report.figures.style import COLORS, STYLE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SWEPT = ("rate", "params", "macs", "bits", "count", "energy", "rank_ratio", "threshold")
MARKERS = "ovDs^PX*h<>"
POINTS = 3  # that make a line
MOST = 24  # lines that a reader can follow
LONGEST = 56  # letters of a name
Lines = dict[str, list[Row]]


def lines(rows: Sequence[Row], x: str, y: str) -> dict[str, Lines]:
    """Network → method → its rows by x; only methods that were tried at three sizes or more.

    Nothing where a network has more lines than can be told apart.
    """
    known = [row for row in rows if x in row.mean and y in row.mean]
    found: dict[str, Lines] = defaultdict(lambda: defaultdict(list))
    for row, method in zip(known, methods(known), strict=True):
        found[str(row["model"])][method].append(row)
    kept: dict[str, Lines] = {}
    for model, of_method in found.items():
        long = {m: sorted(r, key=lambda row: row.mean[x]) for m, r in of_method.items()}
        long = {m: r for m, r in long.items() if len({row.mean[x] for row in r}) >= POINTS}
        if 0 < len(long) <= MOST:
            kept[model] = dict(sorted(long.items()))
    return kept


def methods(rows: Sequence[Row]) -> list[str]:
    """A row's stage and what sets it apart, but for how much; yes and no only where it must.

    What earlier stages left in it sets it apart too.
    """
    keys = [key for key in labels.varied(rows) if key.rpartition("/")[2] not in SWEPT]
    whole = [described(row, keys) for row in rows]
    short = [described(row, [k for k in keys if not isinstance(row[k], bool)]) for row in rows]
    clear = len(set(zip(short, whole, strict=True))) == len(set(short))
    return short if clear else whole


def described(row: Row, keys: Sequence[str]) -> str:
    """``prune LAMP``; of a baseline ``prune LAMP random (baseline)``."""
    stage = str(row["stage"])
    own = str(row["baseline/of"]) if stage == "baseline" else stage
    said = [setting(k, row[k]) for k in keys if k.startswith(f"{own}/") and row[k] is not None]
    said += [setting(k, row[k]) for k in keys if _inherited(k, own) and row[k] is not None]
    kind = [f"{row['baseline/kind']} (baseline)"] if stage == "baseline" else []
    return " ".join([own, *said, *kind])


def _inherited(key: str, own: str) -> bool:
    return not key.startswith((f"{own}/", "baseline/"))


def draw(rows: Sequence[Row], x: str, y: str) -> Figure | None:
    """The figure; None where fewer than two methods have a line."""
    panels = lines(rows, x, y)
    names = list(dict.fromkeys(name for of_method in panels.values() for name in of_method))
    if len(names) < 2:
        return None
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    with matplotlib.rc_context(STYLE):
        layout = ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.12)
        width = 4.6 * len(panels) + 4.4
        figure = Figure(figsize=(width, 4.6), dpi=160, layout=layout)
        FigureCanvasAgg(figure)
        places = figure.subplots(1, len(panels), squeeze=False)[0]
        for axes, (model, of_method) in zip(places, panels.items(), strict=True):
            panel(axes, of_method, names, x, y)
            axes.set_title(model, loc="left", fontsize=11, fontweight="bold", parse_math=False)
            dense = [row for row in rows if row["model"] == model and row["position"] == 0]
            for row in dense:
                whole = row.mean[y] * scale(y)
                axes.axhline(whole, color="#999999", linewidth=0.9, linestyle=":", zorder=1)
        handles: dict[str, Any] = {}
        for axes in places:
            handles |= dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
        order = [name for name in names if name in handles]
        figure.legend(
            [handles[name] for name in order],
            [shortened(name) for name in order],
            loc="outside right upper",
            frameon=False,
        )
    return figure


def panel(axes: Axes, of_method: Lines, names: Sequence[str], x: str, y: str) -> None:
    for name, rows in of_method.items():
        place = names.index(name)
        axes.errorbar(
            [row.mean[x] for row in rows],
            [row.mean[y] * scale(y) for row in rows],
            yerr=[row.std.get(y, 0.0) * scale(y) for row in rows],
            color=COLORS[place % len(COLORS)],
            marker=MARKERS[place % len(MARKERS)],
            markersize=5.5,
            linewidth=1.3,
            linestyle="--" if name.endswith("(baseline)") else "-",
            elinewidth=0.9,
            label=name,
        )
    every = [row for rows in of_method.values() for row in rows]
    set_axis(axes, "x", x, [row.mean[x] for row in every])
    set_axis(axes, "y", y, [row.mean[y] for row in every])


def shortened(name: str) -> str:
    """A legend leaves room for what it explains."""
    return name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…"


def scale(key: str) -> float:
    return 100.0 if quantities.is_fraction(key) else 1.0
