"""Colours, markers and lines of the curve."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from condenser.report.analysis.table import Row

# Okabe and Ito's colours, which colour-blind readers tell apart; a stage looks the same everywhere.
LOOKS = {
    "teacher": ("#000000", "s"),
    "student": ("#999999", "o"),
    "distill": ("#0072b2", "D"),
    "prune": ("#d55e00", "v"),
    "cut": ("#7a5195", "h"),
    "merge": ("#8c564b", "<"),
    "share": ("#cc79a7", "^"),
    "factorize": ("#b8a500", "P"),
    "quantize": ("#009e73", "X"),
    "export": ("#56b4e9", "*"),
}
OTHER = (("#444444", ">"), ("#1b6e5a", "p"), ("#b03060", "d"))
COLORS = tuple(color for color, _ in (*LOOKS.values(), *OTHER))
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
    stages = list(dict.fromkeys(str(row["stage"]) for row in rows))
    others = [stage for stage in stages if stage not in LOOKS]
    found = {}
    for stage in stages:
        color, marker = LOOKS.get(stage) or OTHER[others.index(stage) % len(OTHER)]
        edge = {"markeredgecolor": "white", "markeredgewidth": 0.7}
        found[stage] = {"color": color, "marker": marker, "linestyle": "none", **edge}
    return found
