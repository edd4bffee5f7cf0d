"""Maps of two settings, layers, training: the figures beside the trade-off."""

from __future__ import annotations

from collections.abc import Sequence

from condenser.report.analysis import heat, labels, layers, quantities, settings
from condenser.report.analysis.columns import ACCURACY, FILE, chosen_on, pareto
from condenser.report.analysis.table import Row
from condenser.report.analysis.training import Curve, of_rows
from condenser.report.figures.description import Axis, Choice, Figure, Mark, Panel
from condenser.report.figures.style import PALETTE

METRIC = "val/accuracy"
MOST_LAYERS, MOST_TRAINED = 2, 8  # rows of one figure on paper


def maps(rows: Sequence[Row], ys: Sequence[str], y: str) -> Figure | None:
    """Two settings that a sweep crossed, the map with the best cell on validation first."""
    found = heat.maps(rows)
    if not found:
        return None
    by = chosen_on(rows, y)
    sign = -1.0 if quantities.less_is_better(by) else 1.0
    axes = [f"{settings.head(one.x)} × {settings.head(one.y)}" for one in found]
    best = max(range(len(found)), key=lambda k: _merit(rows, found[k], by, sign))
    options = [(one.title, one.title, {"axes": own}) for one, own in zip(found, axes, strict=True)]
    choices = {
        "axes": Choice(["x axis × y axis"], [(o, o) for o in dict.fromkeys(axes)], axes[best]),
        "of": Choice(["of"], options, found[best].title, True),
        "value": Choice(["colour"], [(key, quantities.name(key)) for key in ys], by),
    }
    panels = [
        Panel(
            Axis(settings.head(one.x), names=one.xs),
            Axis(settings.head(one.y), names=one.ys),
            [Mark("cells", rows=one.cells, quantity="$value")],
            when={"axes": own, "of": one.title},
        )
        for one, own in zip(found, axes, strict=True)
    ]
    return Figure(panels, choices)


def _merit(rows: Sequence[Row], one: heat.Map, key: str, sign: float) -> tuple[bool, float]:
    """Its best cell; a map of baselines comes after all others."""
    cells = [rows[i] for line in one.cells for i in line if i is not None]
    values = [sign * row.mean[key] for row in cells if key in row.mean]
    return cells[0]["stage"] != "baseline", max(values, default=-float("inf"))


def by_layer(rows: Sequence[Row]) -> Figure | None:
    """What each layer lost and costs: a panel a metric. First the smallest row on the front."""
    known = layers.known(rows)
    if not known:
        return None
    names = labels.full_names(rows)
    front = [i for i in pareto(rows, FILE, ACCURACY) if i in known] or known
    options = [(i, names[i].replace("\n", ", ")) for i in known]
    panels = [
        Panel(
            Axis(_titled(metric), percent=unit == "%"),
            Axis(names=[*values], down=True),
            [bars],
            when={"row": i},
        )
        for i in known
        for metric, values in layers.of(rows[i]).items()
        for unit in [layers.METRICS[metric][1]]
        for bars in [_bars(metric, values, unit)]
    ]
    return Figure(panels, {"row": Choice(["row"], options, front[0], True)})


def _titled(metric: str) -> str:
    words, unit = layers.METRICS[metric]
    return f"{words} ({unit})" if unit else words


def _bars(metric: str, values: dict[str, float], unit: str) -> Mark:
    lengths = [(100.0 if unit == "%" else 1.0) * value for value in values.values()]
    texts = [
        quantities.si(v, "B") if unit == "B" else f"{v:.3g}" + " %" * (unit == "%") for v in lengths
    ]
    color = PALETTE[list(layers.METRICS).index(metric)]
    return Mark("bars", color=color, x=[float(f"{v:.8g}") for v in lengths], text=texts)


def training(rows: Sequence[Row], curves: Sequence[Curve]) -> Figure | None:
    """Training curves, a line a seed; first those of the row that ends best on validation."""
    known = of_rows(rows, curves)
    metrics = sorted({name for own in known.values() for one in own for name in one.metrics})
    if not metrics:
        return None
    names = [name.replace("\n", ", ") for name in labels.full_names(rows)]
    best = sorted(known, key=lambda i: -rows[i].mean.get(METRIC, 0.0))
    options = [("", "nothing beside it"), *((i, names[i]) for i in sorted(known))]
    choices = {
        "rows": Choice(["A", "B"], options, [best[0], ""], True),
        "metric": Choice(
            ["what"], [(m, m) for m in metrics], METRIC if METRIC in metrics else metrics[0]
        ),
    }
    panels = [
        Panel(
            Axis("optimiser steps"),
            Axis(f"{quantities.name(metric)} (%)" if percent else metric),
            [
                Mark(
                    "line",
                    names[i],
                    x=steps,
                    y=[float(f"{(100 if percent else 1) * value:.5g}") for value in values],
                    text=[f"seed {one.seed}"],
                    when={"rows": i},
                )
                for i, own in known.items()
                for one in own
                if metric in one.metrics
                for steps, values in [one.metrics[metric]]
            ],
            when={"metric": metric},
        )
        for metric in metrics
        for percent in [quantities.is_fraction(metric)]
    ]
    return Figure(panels, choices)
