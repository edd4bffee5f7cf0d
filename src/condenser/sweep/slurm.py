"""Run the jobs of a sweep as a SLURM job array with submitit."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.utils import JobReturn
from omegaconf import DictConfig

from condenser.errors import CondenserError, ConfigError
from condenser.runs import status
from condenser.sweep.job_state import JobState, of_code
from condenser.sweep.jobs import Job
from condenser.sweep.pool import WORDS
from condenser.sweep.process import SOURCE, command, environment
from condenser.sweep.progress import Board
from condenser.sweep.summary import failures, returned

if TYPE_CHECKING:
    import submitit

SECONDS = 1.0  # seconds between polls
DIRECT = ("nodes", "tasks_per_node", "gpus_per_node", "cpus_per_task", "mem_gb", "timeout_min")
OF_SLURM = ("partition", "account", "qos", "constraint")


@dataclass(frozen=True)
class Settings:
    """Settings; documented in conf/hydra/launcher/slurm.yaml."""

    jobs: int
    nodes: int
    tasks_per_node: int
    gpus_per_node: int | None
    cpus_per_task: int | None
    mem_gb: float | None
    timeout_min: int
    requeue: int
    partition: str | None
    account: str | None
    qos: str | None
    constraint: str | None
    setup: Sequence[str]
    sbatch: Mapping[str, Any]
    folder: str
    cluster: str

    def __post_init__(self) -> None:
        for key in ("jobs", "nodes", "tasks_per_node", "timeout_min"):
            if getattr(self, key) < 1:
                allowed = "a whole number of at least 1"
                raise ConfigError(f"hydra.launcher.{key}", getattr(self, key), allowed)
        if self.cluster not in ("slurm", "local"):
            raise ConfigError("hydra.launcher.cluster", self.cluster, "one of local, slurm")


class Command:
    """What each task of a job runs on its node; pickled by submitit."""

    def __init__(self, words: Sequence[str]) -> None:
        self.words, self.folder = list(words), os.getcwd()  # which paths in the config mean

    def __call__(self) -> None:
        """Run the command as one rank of the job.

        Raises:
            RuntimeError: it failed.
        """
        ranks = {name: value for name, value in os.environ.items() if name.startswith("SLURM_")}
        code = subprocess.run(
            self.words,
            cwd=self.folder,
            env=environment(None, None) | ranks,
            preexec_fn=deaf,
            check=False,
        ).returncode
        if code:
            raise RuntimeError(of_code(code))

    def checkpoint(self) -> Any:
        """On timeout or preemption: requeue, which resumes."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)


def deaf() -> None:
    """Ignore SLURM's signal in all processes of a job except submitit's own."""
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)


def launch(jobs: Sequence[Job], config: DictConfig, settings: Settings) -> list[JobReturn]:
    """Submit unfinished jobs, wait for all, report failures.

    Raises:
        CondenserError: SLURM is not installed.
    """
    attempts = [JobState(job) for job in jobs]
    for attempt in attempts:
        job = attempt.job
        if record := status.done_before(job.folder, job.plan.digest, job.plan.inputs):
            attempt.record, attempt.state = record, "kept"
    todo = [attempt for attempt in attempts if not attempt.over]
    with Board(attempts, settings.jobs) as board:
        for attempt in attempts:
            board.changed(attempt)
        if todo:
            executor = executor_of(settings)
            words = [Command(command(attempt.job, config)) for attempt in todo]
            submitted = submit(executor, words)
            wait(dict(zip(range(len(todo)), submitted, strict=True)), todo, board)
    if said := failures(attempts):
        print(said, file=sys.stderr)
    return [returned(attempt) for attempt in attempts]


def submit(executor: Any, words: Sequence[Command]) -> list[submitit.Job[None]]:
    """Submit all as one job array.

    Raises:
        CondenserError: sbatch rejected it, with its message.
    """
    from submitit.core.utils import FailedJobError

    try:
        with executor.batch():
            return [executor.submit(one) for one in words]
    except FailedJobError as error:
        *_, said = "", *str(error).strip().splitlines()
        raise CondenserError(f"hydra/launcher=slurm: sbatch refused the jobs: {said}") from error


def executor_of(settings: Settings) -> submitit.AutoExecutor:
    """submitit's executor with these settings."""
    import submitit

    folder = Path(settings.folder).absolute()
    own = {"max_num_timeout": settings.requeue} if settings.cluster == "slurm" else {}
    try:
        executor = submitit.AutoExecutor(
            folder / "%j",
            cluster=settings.cluster,
            **{f"slurm_{key}": value for key, value in own.items()},
        )
    except RuntimeError as error:
        allowed = "a machine with sbatch, or hydra.launcher.cluster=local to try it out"
        raise CondenserError(f"hydra/launcher=slurm: must be {allowed}: {error}") from error
    source = f'export PYTHONPATH="{SOURCE}${{PYTHONPATH:+:$PYTHONPATH}}"'
    slurm = {f"slurm_{key}": getattr(settings, key) for key in OF_SLURM}
    slurm |= {"slurm_array_parallelism": settings.jobs}
    slurm |= {"slurm_srun_args": ["--kill-on-bad-exit=1"]}  # a failed rank ends its job
    slurm |= {"slurm_setup": [*settings.setup, source]}
    slurm |= {"slurm_additional_parameters": dict(settings.sbatch)}
    executor.update_parameters(
        name="condenser",
        stderr_to_stdout=True,
        **{key: value for key in DIRECT if (value := getattr(settings, key)) is not None},
        **{key: value for key, value in slurm.items() if value},
    )
    return executor


def wait(
    submitted: Mapping[int, submitit.Job[None]], attempts: Sequence[JobState], board: Board
) -> None:
    """Wait for the jobs; cancels them on interrupt."""
    begun = time.monotonic()
    try:
        while any(not attempt.over for attempt in attempts):
            for number, attempt in enumerate(attempts):
                if not attempt.over:
                    look_after(attempt, submitted[number], time.monotonic() - begun)
                    if attempt.over:
                        board.changed(attempt)
            board.beat()
            time.sleep(SECONDS)
    except BaseException:
        for job in submitted.values():
            with suppress(Exception):
                job.cancel(check=False)
        raise


def look_after(attempt: JobState, job: submitit.Job[None], seconds: float) -> None:
    """Check whether and how it has ended."""
    if not job.done():
        attempt.state = "running" if job.state == "RUNNING" else "waiting"
        return
    attempt.seconds, attempt.tries, attempt.log = seconds, 1, str(job.paths.stdout)
    attempt.record = status.finished(attempt.job.folder, attempt.job.plan.digest)
    attempt.state = "done" if ended_well(job) and attempt.record else "failed"
    if attempt.state == "failed":
        attempt.words = own_words(job.stdout() or "")[-WORDS:]
        attempt.reason = attempt.words[-1].strip() if attempt.words else "no output"
        metrics = {"hash": attempt.job.plan.digest, "state": "failed", "reason": attempt.reason}
        status.write(attempt.job.folder, **metrics)


def ended_well(job: submitit.Job[None]) -> bool:
    """Whether every rank succeeded."""
    try:
        return job.exception() is None
    except Exception:  # a node that died leaves no result, for which submitit raises
        return False


def own_words(output: str) -> list[str]:
    """A job's output without submitit's own lines."""
    lines = output.partition("\nsubmitit ERROR")[0].splitlines()
    return [line for line in lines if line.strip() and not line.startswith("submitit ")]
