"""The jobs of a sweep, all composed and checked before the first one starts."""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from hydra.core.config_loader import ConfigLoader
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from condenser.config.error_messages import COMPOSING, explain
from condenser.config.run_name import run_name
from condenser.errors import CondenserError
from condenser.pipeline.plan import Plan
from condenser.pipeline.resolve import checked
from condenser.sweep.composer import Composer

MANY = 1000  # jobs between progress messages of the check
Words = Sequence[str]  # overrides of one job


class SweepError(CondenserError):
    """A sweep that was not started, or had failed jobs."""


@dataclass(frozen=True)
class Job:
    """One run of a sweep.

    Attributes:
        overrides: its own overrides, as command-line words.
        plan: what it will do.
        cfg: its config as hydra composed it, with hydra's own part.
        label: what distinguishes it within the sweep, for display.
    """

    number: int
    overrides: tuple[str, ...]
    plan: Plan
    cfg: DictConfig
    label: str

    @property
    def name(self) -> str:
        return str(self.plan.config["run"])

    @property
    def folder(self) -> Path:
        return self.plan.folder


def compose(
    loader: ConfigLoader, master: DictConfig, batch: Sequence[Words], first: int = 0
) -> list[Job]:
    """The jobs for these lists of overrides.

    Raises:
        SweepError: one line per problem: what is wrong, and with which overrides.
    """
    jobs: list[Job] = []
    composer = Composer(loader, master)
    found: dict[str, list[Words]] = defaultdict(list)
    common = set(batch[0]).intersection(*batch)  # overrides common to all jobs
    for number, overrides in enumerate(batch, start=first):
        if len(batch) >= MANY and not (number - first) % (len(batch) // 10):
            print(f"checking {len(batch):,} jobs: {number - first:,} done", file=sys.stderr)
        try:
            jobs.append(job(composer, overrides, number, common))
        except COMPOSING as error:
            for line in explain(error).splitlines():
                found[line].append(overrides)
    for line, overrides in problems(jobs):
        found[line].append(overrides)
    if found:
        raise SweepError("\n".join(["no job was started:", *lines(found, common, len(batch))]))
    return jobs


def lines(found: Mapping[str, Sequence[Words]], common: set[str], total: int) -> Iterator[str]:
    """Each problem with the jobs it affects: all, one, or several and the first of them."""
    for line, of in found.items():
        first = " ".join(word for word in of[0] if word not in common)
        if len(of) == total > 1:
            whose = f"all {total} jobs"
        elif len(of) == 1:
            whose = first or "the only job"
        else:
            whose = f"{len(of)} of {total} jobs, first {first}"
        yield f"{line} ({whose})"


def job(composer: Composer, overrides: Words, number: int, common: set[str]) -> Job:
    """One job, checked as its run will be."""
    cfg = composer(overrides)
    plain = OmegaConf.masked_copy(cfg, [str(key) for key in cfg if key != "hydra"])
    with seen_by_hydra(cfg):
        plan = checked(plain)
    own = [word for word in overrides if word not in common]
    label = run_name(own, plain) if own else str(plan.config["run"])
    return Job(number, tuple(overrides), plan, cfg, label)


@contextmanager
def seen_by_hydra(cfg: DictConfig) -> Iterator[None]:
    """Make ``${hydra:…}`` resolve to this config's."""
    hydra = HydraConfig.instance()
    before = hydra.cfg
    hydra.set_config(cfg)
    try:
        yield
    finally:
        hydra.cfg = before


def problems(jobs: Sequence[Job]) -> Iterator[tuple[str, Words]]:
    """Problems between jobs: two of them use one folder."""
    owners: dict[Path, Job] = {}
    for one in jobs:
        other = owners.setdefault(one.folder, one)
        if other is not one:
            yield f"run={one.name}: that of {other.label} is called so, too", one.overrides
