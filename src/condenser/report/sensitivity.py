"""How much of each layer can go: the curves of a sensitivity analysis as figure, table and JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from condenser.errors import CondenserError
from condenser.files import write_files
from condenser.report.analysis.quantities import si
from condenser.report.figures.paper import image
from condenser.report.figures.sensitivity_curve import draw, points

if TYPE_CHECKING:
    from condenser.analysis import Curve

MAX_DROP = 0.01
SHOWN = (0.3, 0.5, 0.7, 0.9)  # columns of the table


def write(
    result: Mapping[str, Any], out: Path, title: str = "", max_drop: float = MAX_DROP
) -> dict[Path, str]:
    """Write sensitivity.png, .svg, .md and .json into the folder; each with what it shows.

    Args:
        result: what ``condenser.analysis.analyse`` returned.
        title: the model and its data.
        max_drop: of accuracy, a fraction; the rates that it allows are marked and listed.

    Raises:
        ConfigError: max_drop out of range. CondenserError: nothing was measured, or the folder
        cannot be written.
    """
    from condenser.analysis import rates_for

    rates = rates_for(curves_of(result), max_drop)
    figure = draw(curves_of(result), title, result["granularity"], result["images"], max_drop)
    whole = {**result, "max_drop": max_drop, "rates": rates}
    files: dict[str, tuple[bytes, str]] = {
        "sensitivity.png": (image(figure, "png"), "accuracy over the part that is pruned"),
        "sensitivity.svg": (image(figure, "svg"), "the same, for papers"),
        "sensitivity.md": (markdown(result, max_drop).encode(), "the table"),
        "sensitivity.json": (json.dumps(whole, indent=1).encode() + b"\n", "all numbers"),
    }
    try:
        write_files({out / name: content for name, (content, _) in files.items()})
    except OSError as error:
        raise CondenserError(f"{out}: cannot write the report: {error.strerror}") from error
    return {out / name: shows for name, (_, shows) in files.items()}


def curves_of(result: Mapping[str, Any]) -> list[Curve]:
    """Raises CondenserError where there is none, with the first reasons why."""
    from condenser.analysis import Curve

    if not result["curves"]:
        why = "; ".join(f"{name}: {reason}" for name, reason in [*result["left"].items()][:3])
        raise CondenserError(f"no layer could be measured ({why})")
    return [Curve(**curve) for curve in result["curves"]]


def markdown(result: Mapping[str, Any], max_drop: float = MAX_DROP) -> str:
    """A table from the most to the least sensitive, and below it what was not measured, and why.

    The last columns are accuracies at the nearest rate that was measured, if within 3 points.
    """
    from condenser.analysis import rank

    curves = {curve.unit: curve for curve in curves_of(result)}
    heads = ["pruned alone", result["granularity"], "mean drop", f"{points(max_drop)} lost at"]
    heads += [f"{rate:.0%}" for rate in SHOWN]
    lines = [heads, [":---", *["---:"] * (len(heads) - 1)]]
    for name, drop in rank(list(curves.values())):
        curve = curves[name]
        at = [_accuracy_at(curve, rate) for rate in SHOWN]
        lines.append([name, si(curve.size), f"{100 * drop:.2f}", _within(curve, max_drop), *at])
    table = "".join(f"| {' | '.join(line)} |\n" for line in lines)
    base = f"accuracy {100 * next(iter(curves.values())).accuracy[0]:.2f} % as it is"
    notes = [f"{base}, on {result['images']:,} validation images; accuracies and drops in points"]
    coupled = (c for c in curves.values() if len(c.layers) > 1)
    notes += [f"{c.unit}: together with {', '.join(c.layers[1:])}" for c in coupled]
    notes += [f"{name} not measured: {reason}" for name, reason in result["left"].items()]
    return table + "\n" + "".join(f"- {note}\n" for note in notes)


def _accuracy_at(curve: Curve, rate: float) -> str:
    near = min(range(len(curve.rates)), key=lambda i: abs(curve.rates[i] - rate))
    close = abs(curve.rates[near] - rate) <= 0.03
    return f"{100 * curve.accuracy[near]:.2f}" if close else ""


def _within(curve: Curve, max_drop: float) -> str:
    beyond = "" if curve.passes(max_drop) else "beyond "
    return f"{beyond}{100 * curve.rate_within(max_drop):.0f} %"
