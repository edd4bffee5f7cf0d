"""Jobs of a sweep that differ in numbers only, as one population in this process."""

from __future__ import annotations

import sys
import time
import traceback
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import NoneType
from typing import Any

from hydra.core.utils import JobReturn
from omegaconf import DictConfig

from condenser.config.error_messages import can_be_mended, explain
from condenser.pipeline.run import run
from condenser.pipeline.stages import Stage
from condenser.pipeline.stages.training import TrainingStage
from condenser.runs.records import final
from condenser.runs.started import of_run
from condenser.runs.turns import Turn, take
from condenser.store import key_of
from condenser.sweep import launch
from condenser.sweep.job_state import JobState
from condenser.sweep.jobs import Job
from condenser.sweep.pool import WORDS, Pool
from condenser.sweep.process import last_lines
from condenser.sweep.progress import Board
from condenser.sweep.summary import failures, returned

TRAINED = ("teacher", "student", "distill", "prune", "tune")  # by plain steps of the optimiser
OPTIMIZERS = ("torch.optim.SGD", "torch.optim.Adam", "torch.optim.AdamW")
PLACES = ("run", "runs", "store", "name", "claim", "logger")
SHAPES = ("data", "trainer", "model", "batch_size")  # where numbers are no numbers of a method


def launch_together(
    jobs: Sequence[Job], config: DictConfig, settings: launch.Settings, size: int
) -> list[JobReturn]:
    """Train as populations what can be, then run the other jobs as processes.

    Args:
        size: the most jobs of a population.

    Raises:
        ConfigError: a size below 2.
    """
    launch.at_least("size", size, 2)
    groups, apart = sorted_out(jobs, size)
    for why, some in apart.items():
        print(f"as processes: {len(some)} of {len(jobs)} jobs ({some[0].label}): {why}", flush=True)
    done: dict[int, JobState] = {}
    for group in groups:
        attempts = [JobState(job) for job in group]
        with Board(attempts, len(group)) as board:
            Together(changed=board.changed, beat=board.beat, tell=board.tell).run(attempts)
        done |= {attempt.job.number: attempt for attempt in attempts if attempt.over}
    if said := failures(list(done.values())):
        print(said, file=sys.stderr)
    rest = [job for job in jobs if job.number not in done]
    returns = {number: returned(attempt) for number, attempt in done.items()}
    others = launch.launch(rest, config, settings) if rest else []
    returns |= {job.number: one for job, one in zip(rest, others, strict=True)}
    return [returns[job.number] for job in jobs]


@dataclass
class Together(Pool):
    """Runs jobs in this process, each in its turn; their students train together."""

    command: Callable[[Job], Sequence[str]] = lambda job: ()
    tell: Callable[[str], None] = print

    def work(self, attempts: Sequence[JobState]) -> None:
        """Those that another sweep has are left as they are."""
        from condenser.pipeline.session import sets
        from condenser.training.population.group import Population

        sets.set({})
        population = Population(self.tell)

        def serve(asked: list[Any]) -> None:
            population.serve(asked)
            self.beat()

        with ExitStack() as files:
            started = [attempt for attempt in attempts if self.taken(attempt)]
            take([self.turn(attempt, files) for attempt in started], serve)

    def turn(self, attempt: JobState, files: ExitStack) -> Turn:
        """The run of a job, what it prints in its log."""
        begun, job = time.monotonic(), attempt.job
        self.set_state(attempt, "running")

        def over(turn: Turn) -> None:
            attempt.seconds = time.monotonic() - begun
            attempt.record = final(turn.value) if turn.value else None
            self.ended(attempt, "" if turn.error is None else self.failed(attempt, turn))

        way = Path(attempt.log).open("a", encoding="utf-8", buffering=1)  # noqa: SIM115
        do = partial(run, job.plan, of_run(job.overrides))
        return Turn(do, files.enter_context(way), over)

    def failed(self, attempt: JobState, turn: Turn) -> str:
        """Why, with the whole of it in the log."""
        assert turn.error is not None
        reason = explain(turn.error)
        print(f"condenser: {reason}", file=turn.out)
        if not can_be_mended(turn.error):
            traceback.print_exception(turn.error, file=turn.out)
        attempt.words = last_lines(Path(attempt.log), WORDS)
        return reason.splitlines()[0]


def sorted_out(jobs: Sequence[Job], size: int) -> tuple[list[list[Job]], dict[str, list[Job]]]:
    """The populations, and the jobs that are in none by why."""
    alike: dict[str, list[Job]] = defaultdict(list)
    apart: dict[str, list[Job]] = defaultdict(list)
    for job in jobs:
        if why := refusal(job):
            apart[why].append(job)
        else:
            alike[key_of(masked(job.plan.config))].append(job)
    groups = []
    for same in alike.values():
        parts = [same[start : start + size] for start in range(0, len(same), size)]
        groups += [part for part in parts if len(part) > 1]
        for (job,) in [part for part in parts if len(part) == 1]:
            apart["no other job differs from it in numbers alone"].append(job)
    return groups, dict(apart)


def masked(config: Mapping[str, Any], path: tuple[str, ...] = ()) -> Any:
    """The config with every number that is a method's or a training's, or null, as the same."""
    found: dict[str, Any] = {}
    for key, value in config.items():
        if path or key not in PLACES:
            found[key] = value if key in SHAPES else blank(value, (*path, key))
    return found


def blank(value: Any, path: tuple[str, ...]) -> Any:
    if isinstance(value, Mapping):
        return masked(value, path)
    if isinstance(value, list):
        return [blank(one, path) for one in value]
    return "number" if type(value) in (int, float, NoneType) else value


def refusal(job: Job) -> str | None:
    """Why a job cannot be one of a population, as far as its plan tells."""
    from condenser.training.distributed.launch import needed

    trainer = job.plan.config["trainer"]
    if job.plan.search is not None:
        return "recipe=budget searches"
    if trainer["compile"]:
        return "trainer.compile=true"
    if trainer["num_nodes"] > 1 or needed(trainer) > 1:
        return f"trainer.devices={trainer['devices']}"
    return next(filter(None, map(of_stage, job.plan.stages)), None)


def of_stage(stage: Stage) -> str | None:
    """Why a stage's steps are its own."""
    if not isinstance(stage, TrainingStage) or not stage.epochs:
        return None
    optimizer = stage.settings["optim"]["optimizer"]["_target_"]
    if stage.word not in TRAINED:
        return f"{stage.word} trains in a way of its own"
    if optimizer not in OPTIMIZERS:
        return f"{stage.word} is trained by {optimizer}"
    if stage.stepping:
        return " ".join(f"trainer.{key}={value}" for key, value in stage.stepping.items())
    if stage.settings.get("teachers") == "peer":
        return "distill.teachers=peer"
    return None
