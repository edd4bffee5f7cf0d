"""State of each job of a sweep."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from condenser.runs.records import Record
from condenser.sweep.jobs import Job
from condenser.sweep.process import Process

State = Literal["waiting", "elsewhere", "running", "done", "kept", "failed", "stopped"]


@dataclass
class JobState:
    """A job and its state.

    Attributes:
        state: kept: finished by an earlier command; elsewhere: running in another one.
        tries: starts by this sweep; earlier: by previous ones.
        seconds: duration of its last start.
        reason: why it failed.
        words: last output lines of a failed job; log: the file with all output.
    """

    job: Job
    state: State = "waiting"
    tries: int = 0
    earlier: int = 0
    seconds: float = 0.0
    code: int | None = None
    reason: str = ""
    words: list[str] = field(default_factory=list)
    log: str = ""
    record: Record | None = None
    process: Process | None = None
    gpus: list[str] = field(default_factory=list)

    @property
    def over(self) -> bool:
        return self.state in ("done", "kept", "failed", "stopped")

    @property
    def ended_well(self) -> bool:
        return self.state in ("done", "kept")

    @property
    def accuracy(self) -> float | None:
        """Validation accuracy of the run's final model."""
        value = self.record and self.record["val/accuracy"]
        return value if isinstance(value, float | int) else None


def of_code(code: int, words: Sequence[str] = ()) -> str:
    """Why a process failed, from its exit code and last lines."""
    if code == 0:
        return "ended before its records were complete"
    if code > 0:
        last = words[-1].strip().removeprefix("condenser: ") if words else ""
        return f"exit code {code}" + (f", {last}" if last else "")
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    return f"killed by {name}" + (" (out of memory?)" if name == "SIGKILL" else "")
