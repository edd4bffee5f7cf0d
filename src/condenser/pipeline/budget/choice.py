"""Which of the networks that were tried is the one, and what to say where none is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from condenser.errors import CondenserError
from condenser.functional.pareto import front
from condenser.pipeline.budget import shipped
from condenser.pipeline.budget.trials import Entry, shown
from condenser.runs.records import Record
from condenser.search.outcome import FRONT, TRIAL

CHOSEN = "search/chosen"  # record key


@dataclass(frozen=True)
class Point:
    """A network of the search.

    Attributes:
        accuracy: on validation.
        size: bytes of the packed file, or of the deployed one where that is budgeted.
        entries: of a recipe, that make it; none: the network that the search began with.
        trial: its number.
        costs: what else it is held against, by limit.
    """

    accuracy: float
    size: int
    entries: Sequence[Entry] = ()
    trial: int | None = None
    costs: Mapping[str, float] = field(default_factory=dict)

    def __str__(self) -> str:
        rest = [
            f"{self.costs[key]:,.4g} {key}" for key in ("latency_ms", "macs") if key in self.costs
        ]
        also = "".join(f", {word}" for word in rest)
        return f"{self.accuracy:.2%} in {self.size:,} bytes{also} ({shown(self.entries)})"

    def within(self, limits: Mapping[str, Any]) -> bool:
        """Whether it keeps to every limit on what it costs."""
        costs = {"packed_bytes": self.size, **self.costs}
        asked = {key: limits.get(key) for key in (*shipped.LIMITS, "packed_bytes")}
        return all(costs[key] <= most for key, most in asked.items() if most is not None)


def best(points: Sequence[Point]) -> list[Point]:
    """Those that no other beats in size and accuracy, smallest first."""
    kept = front([p.size for p in points], [p.accuracy for p in points])
    return [points[place] for place in kept]


def choose(points: Sequence[Point], limits: Mapping[str, Any]) -> Point | None:
    """The smallest that has ``min_accuracy`` within the limits, of equals the more accurate.

    Where no accuracy is asked for: the most accurate within the limits.
    """
    least = limits["min_accuracy"]
    fit = [p for p in points if p.within(limits)]
    fit = [p for p in fit if least is None or p.accuracy >= least]
    if least is None:
        return max(fit, key=lambda p: (p.accuracy, -p.size), default=None)
    return min(fit, key=lambda p: (p.size, -p.accuracy), default=None)


def refusal(
    points: Sequence[Point], settings: Mapping[str, Any], failed: str = ""
) -> CondenserError:
    """What was nearest to a budget that nothing meets, and what to change."""
    least = settings["min_accuracy"]
    costs = {key: settings.get(key) for key in ("packed_bytes", *shipped.LIMITS)}
    asked = [f"budget.min_accuracy={least}"] if least is not None else []
    asked += [f"budget.{key}={most}" for key, most in costs.items() if most is not None]
    tried = sum(point.trial is not None for point in points)
    if not points:
        return CondenserError(f"{' with '.join(asked)}: no network could be made: {failed}")
    within = choose(points, {**costs, "min_accuracy": None})
    enough = choose(points, {"min_accuracy": least})
    near = within or min(points, key=lambda p: p.size)
    far = enough or max(points, key=lambda p: p.accuracy)
    nearest = f"nearest: {near}" + (f" and {far}" if far != near else "")
    return CondenserError(
        f"{' with '.join(asked)}: none of {tried} networks keeps to it; {nearest}; allow more "
        "bytes or less accuracy, or search on: more budget.n_trials, another budget.rate or "
        "budget.bits, more budget.epochs"
    )


def marked(records: Sequence[Record]) -> list[Record]:
    """The records of a search: those on the front say so, and the choice stands once, at its end.

    Trials are compared by what was searched for: validation accuracy and packed bytes, or those of
    the deployed files.
    """
    chosen = {record["key"] for record in records if record.get(CHOSEN)}
    kept = [r for r in records if TRIAL not in r or r.get(CHOSEN) or r["key"] not in chosen]
    tried = [record for record in kept if TRIAL in record]
    files = all(record["kind"] == "exports" for record in tried)
    size = "size/file_bytes" if files else "size/packed_bytes"
    sizes: Any = [record[size] for record in tried]
    accuracies: Any = [record["val/accuracy"] for record in tried]
    places = set(front(sizes, accuracies))
    on_front = {id(record): place in places for place, record in enumerate(tried)}
    return [r.adding({FRONT: on_front[id(r)]}) if id(r) in on_front else r for r in kept]
