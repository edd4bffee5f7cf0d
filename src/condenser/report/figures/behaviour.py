"""What networks give away and keep, each over their size: a panel a quantity."""

from __future__ import annotations

from collections.abc import Sequence

from condenser.report.analysis.table import Row
from condenser.report.figures.description import Axis, Figure, Mark, Panel
from condenser.report.figures.style import looks

SIZES = ("size/packed_bytes", "size/file_bytes", "size/params")
# of each line the first that was measured
SHOWN = (
    ("test/accuracy",),
    ("privacy/lira/auc", "privacy/loss/auc"),
    ("robustness/accuracy",),
    ("robustness/ece",),
    ("churn/changed",),
    ("attribution/gradcam/spearman", "attribution/gradient/spearman"),
)
ALONE = 1  # accuracy is of every run: it shows nothing by itself


def keys(rows: Sequence[Row]) -> list[str]:
    """What was measured of behaviour, accuracy first, and the size; nothing where none was."""
    known = {key for row in rows for key in row.mean}
    found = [next((key for key in line if key in known), None) for line in SHOWN]
    size = next((key for key in SIZES if key in known), None)
    measured = [key for key in found if key is not None]
    return [] if size is None or len(measured) <= ALONE else [size, *measured]


def describe(rows: Sequence[Row]) -> Figure | None:
    """The figure of all rows, those without a quantity left out of its panel."""
    if not (known := keys(rows)):
        return None
    size, *measured = known
    own, stages = looks(rows), dict.fromkeys(str(row["stage"]) for row in rows)
    places = {s: [i for i, row in enumerate(rows) if row["stage"] == s] for s in stages}
    marks = [Mark("points", stage, *own[stage], rows=places[stage]) for stage in stages]
    panels = [Panel(Axis(quantity=size), Axis(quantity=key), marks) for key in measured]
    return Figure(panels, title="What each gives away, and what it keeps")
