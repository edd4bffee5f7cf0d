"""Progress of a sweep: a live table, or one line per job without a terminal."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from condenser.runs.interrupts import Interrupted
from condenser.sweep.job_state import JobState
from condenser.sweep.process import last_lines

SECONDS = 0.5  # seconds between refreshes
STYLES = {"running": "bold", "failed": "red", "elsewhere": "dim", "stopped": "yellow"}
FIRST = ("running", "failed", "stopped", "elsewhere")  # minimum number of rows


class Board:
    """Displays the attempts of a sweep.

    Args:
        slots: parallel jobs, for the estimated time left.
    """

    def __init__(self, attempts: Sequence[JobState], slots: int) -> None:
        from rich.console import Console
        from rich.live import Live

        self.attempts, self.slots = attempts, slots
        self.rich = Console(highlight=False)
        self.live = Live(console=self.rich, auto_refresh=False) if self.rich.is_terminal else None
        self.shown = 0.0

    def __enter__(self) -> Board:
        if self.live:
            self.live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self.live:
            self.live.update(self.picture(), refresh=True)
            self.live.stop()
        elif kind is not None and issubclass(kind, Interrupted):  # the state so far
            print(heading(self.attempts, self.slots), flush=True)

    def beat(self) -> None:
        """Redraw, if due."""
        if self.live and time.monotonic() - self.shown > SECONDS:
            self.live.update(self.picture(), refresh=True)
            self.shown = time.monotonic()

    def changed(self, attempt: JobState) -> None:
        """Print a job's outcome, unless a live table shows it."""
        if self.live is None and attempt.state != "waiting":
            over = sum(one.over for one in self.attempts)
            what = " ".join(filter(None, [outcome(attempt), attempt.job.label]))
            print(f"[{over}/{len(self.attempts)}] {what}", flush=True)

    def tell(self, line: str) -> None:
        """Print a line, above a live table."""
        self.rich.print(line, soft_wrap=True, markup=False)

    def picture(self) -> Any:
        """The heading and a table of the most relevant jobs."""
        from rich.console import Group
        from rich.table import Table

        table = Table(box=None, pad_edge=False, expand=True)
        table.add_column("", width=9)
        table.add_column("s", justify="right", width=6)
        table.add_column("val", justify="right", width=8)
        table.add_column("job", no_wrap=True, overflow="ellipsis", ratio=2)
        table.add_column("", no_wrap=True, overflow="ellipsis", ratio=3, style="dim")
        for attempt in self.rows(max(3, self.rich.height - 4)):
            table.add_row(*cells(attempt), style=STYLES.get(attempt.state, ""))
        return Group(heading(self.attempts, self.slots), table)

    def rows(self, count: int) -> list[JobState]:
        """The most relevant attempts: running or failed ones, then the best finished ones."""

        def weight(attempt: JobState) -> tuple[int, float]:
            place = FIRST.index(attempt.state) if attempt.state in FIRST else len(FIRST)
            return place, -(attempt.accuracy or 0.0)

        relevant = [attempt for attempt in self.attempts if attempt.state != "waiting"]
        return sorted(relevant, key=weight)[:count]


def cells(attempt: JobState) -> tuple[str, ...]:
    accuracy = "" if attempt.accuracy is None else f"{attempt.accuracy:.2%}"
    seconds = f"{attempt.seconds:.0f}" if attempt.seconds else ""
    return attempt.state, seconds, accuracy, attempt.job.label, remark(attempt)


def remark(attempt: JobState) -> str:
    """Why it failed, or its last output."""
    if attempt.state == "running":
        again = f"try {attempt.tries}: " if attempt.tries > 1 else ""
        start = attempt.process.start if attempt.process else 0
        return again + "".join(last_lines(Path(attempt.log), 1, start))
    return attempt.reason


def outcome(attempt: JobState) -> str:
    """A job's state in words."""
    if attempt.state == "done":
        accuracy = "" if attempt.accuracy is None else f", val {attempt.accuracy:.2%}"
        return f"done in {attempt.seconds:.0f} s{accuracy}:"
    if attempt.state == "failed":
        return f"failed, {attempt.reason}:"
    if attempt.state == "running" and attempt.tries > 1:
        return f"running again, after: {attempt.reason}:"
    words = {"kept": "done before:", "elsewhere": "being run by another sweep:"}
    return words.get(attempt.state, f"{attempt.state}:")


def heading(attempts: Sequence[JobState], slots: int) -> str:
    """Counts of done, running and failed jobs, the best so far, the time left."""
    states = Counter("done" if one.ended_well else one.state for one in attempts)
    parts = [f"{states['done']} of {len(attempts)} done"]
    parts += [
        f"{states[s]} {s}" for s in ("running", "failed", "elsewhere", "stopped") if states[s]
    ]
    best = max((a for a in attempts if a.accuracy is not None), key=accuracy_of, default=None)
    if best is not None:
        parts.append(f"best val {accuracy_of(best):.2%} {best.job.label}")
    if (seconds := left(attempts, slots)) is not None:
        parts.append(f"about {duration(seconds)} left")
    return " · ".join(parts)


def accuracy_of(attempt: JobState) -> float:
    return attempt.accuracy or 0.0


def left(attempts: Sequence[JobState], slots: int) -> float | None:
    """Estimated seconds left, from finished jobs; None if unknown or over."""
    took = [one.seconds for one in attempts if one.state == "done"]
    waiting = sum(not one.over for one in attempts)
    if not took or not waiting:
        return None
    mean = sum(took) / len(took)
    spent = sum(min(one.seconds, mean) for one in attempts if one.state == "running")
    return max(0.0, waiting * mean - spent) / min(slots, waiting)


def duration(seconds: float) -> str:
    if seconds < 90:
        return f"{math.ceil(seconds)} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
