"""Which of the networks that were tried is the one, and what to say where none is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from condenser.errors import CondenserError
from condenser.functional.pareto import front
from condenser.pipeline.budget.trials import Entry, shown
from condenser.runs.records import Record
from condenser.search.outcome import FRONT, TRIAL

CHOSEN = "search/chosen"  # record key


@dataclass(frozen=True)
class Point:
    """A network of the search.

    Attributes:
        accuracy: on validation.
        size: bytes of the packed file.
        entries: of a recipe, that make it; none: the network that the search began with.
        trial: its number.
    """

    accuracy: float
    size: int
    entries: Sequence[Entry] = ()
    trial: int | None = None

    def __str__(self) -> str:
        return f"{self.accuracy:.2%} in {self.size:,} bytes ({shown(self.entries)})"


def best(points: Sequence[Point]) -> list[Point]:
    """Those that no other beats in size and accuracy, smallest first."""
    kept = front([p.size for p in points], [p.accuracy for p in points])
    return [points[place] for place in kept]


def choose(points: Sequence[Point], limits: Mapping[str, Any]) -> Point | None:
    """The smallest that has ``min_accuracy`` within ``packed_bytes``, of equals the more accurate.

    Where no accuracy is asked for: the most accurate within the bytes.
    """
    most, least = limits["packed_bytes"], limits["min_accuracy"]
    fit = [p for p in points if most is None or p.size <= most]
    fit = [p for p in fit if least is None or p.accuracy >= least]
    if least is None:
        return max(fit, key=lambda p: (p.accuracy, -p.size), default=None)
    return min(fit, key=lambda p: (p.size, -p.accuracy), default=None)


def refusal(points: Sequence[Point], settings: Mapping[str, Any]) -> CondenserError:
    """What was nearest to a budget that nothing meets, and what to change."""
    most, least = settings["packed_bytes"], settings["min_accuracy"]
    asked = [f"budget.min_accuracy={least}"] if least is not None else []
    asked += [f"budget.packed_bytes={most}"] if most is not None else []
    tried = sum(point.trial is not None for point in points)
    within = choose(points, {"packed_bytes": most, "min_accuracy": None})
    enough = choose(points, {"packed_bytes": None, "min_accuracy": least})
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

    Trials are compared by what was searched for: validation accuracy and packed bytes.
    """
    chosen = {record["key"] for record in records if record.get(CHOSEN)}
    kept = [r for r in records if TRIAL not in r or r.get(CHOSEN) or r["key"] not in chosen]
    tried = [record for record in kept if TRIAL in record]
    sizes: Any = [record["size/packed_bytes"] for record in tried]
    accuracies: Any = [record["val/accuracy"] for record in tried]
    places = set(front(sizes, accuracies))
    on_front = {id(record): place in places for place, record in enumerate(tried)}
    return [r.adding({FRONT: on_front[id(r)]}) if id(r) in on_front else r for r in kept]
