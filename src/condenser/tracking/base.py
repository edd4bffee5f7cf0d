"""What a tracker is, and how a run is called in it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from pytorch_lightning.loggers import Logger

Record = Mapping[str, Any]

NAME_LENGTH = 128  # what the W&B server takes; a longer one is refused only when it is synced
TAG_LENGTH = 64


class Tracker(Protocol):
    """Follows one run, stage by stage."""

    def lightning_logger(self, stage_label: str) -> list[Logger]:
        """The loggers for the Trainer of one stage, such as ``2-prune``."""

    def record(self, record: Record, folder: Path | None = None) -> None:
        """Takes the record of a stage that has just ended, and the folder its model lies in."""

    def finish(self, records: Sequence[Record], exit_code: int) -> None:
        """Ends the run: all its records in order, and 0 or the exit code of its failure."""


@dataclass(frozen=True)
class Identity:
    """How a run is called, grouped and found again.

    ``group`` is the experiment, ``job_type`` the recipe, ``notes`` the claim; ``key`` is the hash
    of everything that determines the run, ``config`` that of what determines its results.
    """

    project: str
    group: str
    job_type: str
    name: str
    tags: tuple[str, ...] = ()
    notes: str = ""
    commit: str | None = None
    key: str | None = None
    config: str | None = None


def identity(
    *,
    experiment: str,
    recipe: str,
    run: str,
    claim: str = "",
    data: str = "",
    models: Iterable[str] = (),
    protocol: str = "test-once",
    tags: Iterable[str] = (),
    project: str = "condenser",
    commit: str | None = None,
    key: str | None = None,
    config: str | None = None,
) -> Identity:
    """Names a run: the only place that decides what goes into which field.

    Tags are data, models, protocol and ``tags``, in this order, each once.
    """
    return Identity(
        project=project,
        group=experiment[:NAME_LENGTH],
        job_type=recipe[:NAME_LENGTH],
        name=run[:NAME_LENGTH],
        tags=unique_tags((data, *models, protocol, *tags)),
        notes=claim,
        commit=commit,
        key=key,
        config=config,
    )


def unique_tags(tags: Iterable[object]) -> tuple[str, ...]:
    """The tags as W&B takes them: at most 64 characters, none empty, each once, in order."""
    return tuple(dict.fromkeys(str(tag)[:TAG_LENGTH] for tag in tags if str(tag)))
