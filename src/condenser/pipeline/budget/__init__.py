"""A budget as target: recipes of rate × bits × coding are tried, the front is kept, one chosen."""

from condenser.pipeline.budget.choice import Point, choose, marked, refusal
from condenser.pipeline.budget.drive import place, run
from condenser.pipeline.budget.trials import corners, entries, space, trial

__all__ = [
    "Point",
    "choose",
    "corners",
    "entries",
    "marked",
    "place",
    "refusal",
    "run",
    "space",
    "trial",
]
