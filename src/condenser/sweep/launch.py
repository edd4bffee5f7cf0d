"""Run the jobs of a sweep as processes on this machine."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from hydra.core.utils import JobReturn
from omegaconf import DictConfig

from condenser.errors import ConfigError
from condenser.sweep.gpu_allocator import gpus
from condenser.sweep.job_state import JobState
from condenser.sweep.jobs import Job
from condenser.sweep.pool import Pool
from condenser.sweep.process import command
from condenser.sweep.progress import Board
from condenser.sweep.summary import failures, returned


@dataclass(frozen=True)
class Settings:
    """Settings of hydra.launcher.

    Attributes:
        jobs: in parallel; None: one per GPU, or one without GPUs.
        timeout_min: minutes per job; None: unlimited.
        retries: of a failed job.
        grace_s: seconds between SIGTERM and SIGKILL.
    """

    jobs: int | None
    timeout_min: float | None
    retries: int
    grace_s: float

    def __post_init__(self) -> None:
        if self.jobs is not None:
            at_least("jobs", self.jobs, 1)
        at_least("retries", self.retries, 0)
        at_least("grace_s", self.grace_s, 0)
        if self.timeout_min is not None and not 0 < self.timeout_min < math.inf:
            allowed = "a number of minutes above 0, or null"
            raise ConfigError("hydra.launcher.timeout_min", self.timeout_min, allowed)


def at_least(key: str, value: float, least: int) -> None:
    if not least <= value < math.inf:
        raise ConfigError(f"hydra.launcher.{key}", value, f">= {least}")


def launch(jobs: Sequence[Job], config: DictConfig, settings: Settings) -> list[JobReturn]:
    """Run the jobs as processes, show progress, report failures."""
    found = gpus()
    slots = settings.jobs or max(1, len(found))
    attempts = [JobState(job) for job in jobs]
    with Board(attempts, slots) as board:
        Pool(
            command=lambda job: command(job, config),
            slots=slots,
            timeout=settings.timeout_min and settings.timeout_min * 60,
            retries=settings.retries,
            grace=settings.grace_s,
            threads=threads(min(slots, len(jobs))),
            gpus=found,
            changed=board.changed,
            beat=board.beat,
        ).run(attempts)
    if said := failures(attempts):
        print(said, file=sys.stderr)
    return [returned(attempt) for attempt in attempts]


def threads(at_once: int) -> int | None:
    """CPU threads per parallel job: oversubscribed cores slow jobs down many times."""
    return None if at_once == 1 else max(1, (os.cpu_count() or 1) // at_once)
