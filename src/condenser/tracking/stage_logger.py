"""The Lightning logger of one stage. Imported only when a stage is about to train."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers import Logger
from pytorch_lightning.utilities.rank_zero import rank_zero_only

Writer = Callable[[Mapping[str, float], int], None]
"""Takes the values of one step, and the step."""


class StageLogger(Logger):
    """Gives every row that Lightning logs to each writer, on rank 0."""

    def __init__(self, folder: Path, stage_label: str, writers: Sequence[Writer]) -> None:
        super().__init__()
        self._folder = folder
        self._label = stage_label
        self._writers = writers

    @property
    def name(self) -> str:
        return ""

    @property
    def version(self) -> str:
        return self._label

    @property
    def save_dir(self) -> str:
        return str(self._folder)

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        for write in self._writers:
            write(metrics, step or 0)

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Nothing: the run's config is tracked whole, once, when the tracker is made."""
