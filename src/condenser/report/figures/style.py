"""Colours and markers: of stages, of groups, of numbers."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle
from typing import Any

from condenser.report.analysis.table import Row

OTHER = (("#444444", ">"), ("#1b6e5a", "p"), ("#b03060", "d"))  # stages of somebody's own
# Okabe and Ito's colours, which colour-blind readers tell apart, and a few more
PALETTE = (
    *("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#b8a500", "#56b4e9", "#7a5195"),
    *("#8c564b", "#b03060", "#1b6e5a", "#000000", "#e69f00", "#999999", "#6b8e00", "#444444"),
)
STEPS = ("#440154", "#3b528b", "#21918c", "#5ec962", "#e0d21f")  # viridis, its end darker
MUTED = "#666666"
MARKERS = "ovDs^PX*h<>"
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


def looks(rows: Sequence[Row]) -> dict[str, tuple[str, str]]:
    """Stage → its class's own colour and marker; those of somebody's own get the next others."""
    from condenser.pipeline.stages import shipped

    others, found = cycle(OTHER), {}
    for stage in dict.fromkeys(str(row["stage"]) for row in rows):
        known = shipped().get(stage)
        found[stage] = (known.color, known.marker) if known else next(others)
    return found


def stepped(share: float) -> str:
    """The colour at a share of the way from dark to light."""
    place = min(max(share, 0.0), 1.0) * (len(STEPS) - 1)
    low = min(int(place), len(STEPS) - 2)
    ends = ([int(color[at : at + 2], 16) for at in (1, 3, 5)] for color in STEPS[low : low + 2])
    both = (round(a + (place - low) * (b - a)) for a, b in zip(*ends, strict=True))
    return "#" + "".join(f"{part:02x}" for part in both)
