"""Colours, markers and lines of the curve."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle
from typing import Any

from condenser.report.analysis.table import Row

# Okabe and Ito's colours, which colour-blind readers tell apart, and a few more: of each kind of
# stage its own, the next for its next stage.
LOOKS = {
    "trains": (("#000000", "s"), ("#999999", "o"), ("#0072b2", "D")),
    "masks": (("#d55e00", "v"),),
    "rebuilds": (("#7a5195", "h"), ("#8c564b", "<"), ("#b8a500", "P")),
    "codes": (("#009e73", "X"), ("#cc79a7", "^")),
    "exports": (("#56b4e9", "*"),),
}
OTHER = (("#444444", ">"), ("#1b6e5a", "p"), ("#b03060", "d"))  # where a kind has no more
COLORS = tuple(color for color, _ in (*(one for kind in LOOKS.values() for one in kind), *OTHER))
FRONT: dict[str, Any] = {"color": "#555555", "linewidth": 1.2}
SUBTITLE: dict[str, Any] = {"color": "#555555", "fontsize": 9.5}
STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "svg.hashsalt": "condenser",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#666666",
    "axes.axisbelow": True,
}


def looks(rows: Sequence[Row]) -> dict[str, dict[str, Any]]:
    """How each stage's points are drawn, in the order of the stages."""
    kinds = {str(row["stage"]): str(row["kind"]) for row in rows}
    own = {kind: iter(looks) for kind, looks in LOOKS.items()}
    others = cycle(OTHER)
    found = {}
    for stage, kind in kinds.items():
        color, marker = next(own.get(kind, others), None) or next(others)
        edge = {"markeredgecolor": "white", "markeredgewidth": 0.7}
        found[stage] = {"color": color, "marker": marker, "linestyle": "none", **edge}
    return found
