"""Run the jobs of a sweep in parallel, isolated from each other."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from filelock import BaseFileLock, FileLock, Timeout

from condenser.runs import status
from condenser.runs.ownership import busy
from condenser.sweep.gpu_allocator import GpuAllocator, wanted
from condenser.sweep.job_state import JobState, of_code
from condenser.sweep.jobs import Job
from condenser.sweep.process import Process, environment, stop

LOG = "console.log"
LOCKS = ".locks"
WORDS = 6  # lines of a failed job shown in the summary


@dataclass
class Pool:
    """Settings shared by the jobs.

    Attributes:
        command: starts a job.
        slots: how many run in parallel.
        timeout: seconds after which a job is stopped; None: never.
        retries: how often a failed job is restarted.
        grace: seconds between SIGTERM and SIGKILL.
        threads: default CPU threads per job.
        changed: called with every attempt whose state changed.
        beat: called many times per second.
    """

    command: Callable[[Job], Sequence[str]]
    slots: int = 1
    timeout: float | None = None
    retries: int = 0
    grace: float = 10.0
    threads: int | None = None
    gpus: Sequence[str] = ()
    changed: Callable[[JobState], None] = lambda attempt: None
    beat: Callable[[], None] = lambda: None
    locks: dict[int, BaseFileLock] = field(default_factory=dict)

    def run(self, attempts: Sequence[JobState]) -> None:
        """Run all attempts to completion. No process survives an interrupt."""
        try:
            self.work(attempts)
        except BaseException:
            self.stop_all(attempts)
            raise
        finally:
            for lock in self.locks.values():
                lock.release()

    def work(self, attempts: Sequence[JobState]) -> None:
        self.allocator = GpuAllocator(self.gpus)
        while left := [attempt for attempt in attempts if not attempt.over]:
            self.step(left)
            self.beat()
            time.sleep(0.1)

    def step(self, attempts: Sequence[JobState]) -> None:
        """One iteration: poll running jobs, fill free slots."""
        for attempt in attempts:
            if attempt.state == "running":
                self.look_after(attempt)
        free = self.slots - sum(attempt.state == "running" for attempt in attempts)
        for attempt in attempts:
            if free > 0 and attempt.state in ("waiting", "elsewhere"):
                self.begin(attempt)
                free -= attempt.state == "running"

    def begin(self, attempt: JobState) -> None:
        """Start it, unless it is finished or another sweep is running it."""
        if not self.taken(attempt):
            return
        job = attempt.job
        attempt.gpus = self.allocator.take(wanted(job.plan.config["trainer"]))
        env = environment(attempt.gpus if self.gpus else None, self.threads)
        attempt.process = Process(self.command(job), env, job.folder / LOG)
        self.set_state(attempt, "running")

    def taken(self, attempt: JobState) -> bool:
        """Whether it is this sweep's to start now."""
        job = attempt.job
        if not self.owned(job):
            self.set_state(attempt, "elsewhere")
            return False
        if record := status.done_before(job.folder, job.plan.digest, job.plan.inputs):
            attempt.record = record
            self.release(attempt, "kept")
            return False
        if not attempt.tries:
            old = status.read(job.folder)
            attempt.earlier = old.get("attempts", 0) if old.get("hash") == job.plan.digest else 0
        attempt.tries += 1
        attempt.log = str(job.folder / LOG)
        status.write(job.folder, **self.metrics(attempt, "running"))
        return True

    def look_after(self, attempt: JobState) -> None:
        """Check whether it has ended or timed out."""
        assert attempt.process is not None
        attempt.seconds = attempt.process.seconds
        attempt.code = attempt.process.poll()
        if attempt.code is not None:
            attempt.record = status.finished(attempt.job.folder, attempt.job.plan.digest)
            well = attempt.code == 0 and attempt.record is not None
            words = attempt.process.last_words(WORDS)
            self.end(attempt, "" if well else of_code(attempt.code, words))
        elif self.timeout is not None and attempt.seconds > self.timeout:
            stop([attempt.process], self.grace)
            self.end(attempt, f"not done after {self.timeout / 60:g} minutes")

    def end(self, attempt: JobState, reason: str) -> None:
        """Mark it as ended: successfully without a reason, else failed."""
        assert attempt.process is not None
        self.allocator.release(attempt.gpus)
        attempt.words = attempt.process.last_words(WORDS) if reason else []
        self.ended(attempt, reason)

    def ended(self, attempt: JobState, reason: str) -> None:
        attempt.reason = reason
        if not reason:
            status.write(attempt.job.folder, exit=0, seconds=round(attempt.seconds, 3))
            self.release(attempt, "done")
            return
        status.write(attempt.job.folder, **self.metrics(attempt, "failed"))
        if attempt.tries <= self.retries:
            self.set_state(attempt, "waiting")
        else:
            self.release(attempt, "failed")

    def metrics(self, attempt: JobState, state: str) -> dict[str, Any]:
        """Its entries for status.json."""
        return {
            "hash": attempt.job.plan.digest,
            "state": state,
            "overrides": list(attempt.job.overrides),
            "attempts": attempt.earlier + attempt.tries,
            "seconds": round(attempt.seconds, 3),
            "exit": attempt.code,
            "reason": attempt.reason or None,
        }

    def set_state(self, attempt: JobState, state: Any) -> None:
        if attempt.state != state:
            attempt.state = state
            self.changed(attempt)

    def release(self, attempt: JobState, state: Any) -> None:
        """Release it: over for this sweep."""
        self.set_state(attempt, state)
        self.locks.pop(attempt.job.number).release()

    def owned(self, job: Job) -> bool:
        """Whether this sweep owns the run folder: two sweeps over the same runs share the work."""
        if job.number in self.locks:
            return True
        place = job.folder.parent / LOCKS
        place.mkdir(parents=True, exist_ok=True)
        lock = FileLock(place / f"{job.folder.name}.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            return False
        if busy(job.folder):  # by a run outside any sweep
            lock.release()
            return False
        self.locks[job.number] = lock
        return True

    def stop_all(self, attempts: Sequence[JobState]) -> None:
        running = [attempt for attempt in attempts if attempt.state == "running"]
        stop([attempt.process for attempt in running if attempt.process], self.grace)
        for attempt in running:
            with suppress(OSError):  # it may be the cause of the stop
                status.write(attempt.job.folder, **self.metrics(attempt, "stopped"))
            self.set_state(attempt, "stopped")
