"""One Weights & Biases run per Condenser run. The only file that knows W&B.

W&B never holds a run up: each call is guarded, waits are bounded, and the first failure turns it
off with one warning. The CSV files are written whatever happens here.
"""

from __future__ import annotations

import logging
import netrc
import os
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from numbers import Real
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from uuid import uuid4

from condenser.errors import ConfigError, nearest, one_of
from condenser.tracking.base import Identity, Record, is_main_process, unique_tags
from condenser.tracking.csv_files import CsvTracker, as_cell, union_of_keys

if TYPE_CHECKING:
    from wandb import Run

    from condenser.tracking.stage_logger import Writer

log = logging.getLogger(__name__)

MODES = ("online", "offline", "disabled")
SIZE, ACCURACY = "size/file_bytes", "test/accuracy"


class WandbTracker(CsvTracker):
    """All of CsvTracker, and the same in W&B.

    Curves are ``2-prune/val/accuracy`` over ``2-prune/step``; the numbers of each record are
    ``stage/<key>`` over ``stage/position``; the summary is the last record, key for key; all
    records are the table ``records`` and the plot ``accuracy_vs_size``.

    ``mode`` null means ``$WANDB_MODE``, else what ``wandb offline`` or ``wandb disabled`` set,
    else online where an API key is found and offline where none is. A server that does not answer
    within ``init_timeout`` seconds makes the run an offline one. ``finish_timeout`` bounds each of
    the two waits at the end, tables and upload; what was not sent can be sent with ``wandb sync``.
    """

    def __init__(
        self,
        identity: Identity,
        config: Mapping[str, Any],
        folder: Path,
        project: str | None = None,
        entity: str | None = None,
        mode: str | None = None,
        tags: Iterable[str] = (),
        init_timeout: float = 10,
        finish_timeout: float = 15,
    ) -> None:
        super().__init__(identity, config, folder)
        if mode is not None and mode not in MODES:
            raise ConfigError("logger.mode", mode, one_of(MODES), nearest(mode, MODES))
        self.finish_timeout = finish_timeout
        self._run: Run | None = None
        self._live = is_main_process()
        self._environ = {k: v for k, v in os.environ.items() if k.startswith("WANDB_")}
        settings = {
            "entity": entity,
            "project": project or identity.project,
            "group": identity.group,
            "job_type": identity.job_type,
            "name": identity.name,
            "tags": unique_tags((*identity.tags, *tags)),
            "notes": identity.notes,
            "dir": str(self.folder),
        }
        mode = mode or os.environ.get("WANDB_MODE")
        if self._live and mode != "disabled":
            self._guarded("start", partial(self._start, mode, settings, init_timeout))
            self._guarded("take the config", partial(self._log_config, config, identity))
        self._live = self._run is not None

    def writers(self, stage_label: str) -> list[Writer]:
        """The CSV file's writer, and W&B's."""
        self._guarded("define a stage's axis", lambda: self._define_axis(stage_label, "step"))
        return [*super().writers(stage_label), partial(self._log_curve, stage_label)]

    def record(self, record: Record) -> None:
        """Logs the numbers of a record as one row of the history."""
        super().record(record)
        row = {f"stage/{key}": value for key, value in numbers_of(record).items()}
        self._guarded("log a record", lambda: self._live_run.log(row))

    def finish(self, records: Sequence[Record], exit_code: int) -> None:
        """Writes summary, table and plot, and closes the W&B run; harmless when called twice."""
        super().finish(records, exit_code)
        if records:
            last = plain(records[-1])
            self._guarded("take the summary", lambda: self._live_run.summary.update(last))
            tables = partial(within, self.finish_timeout, partial(self._log_tables, records))
            self._guarded("take the table", tables)
        run, self._run = self._run, None
        if run is not None:
            self._live = True  # a run that failed on the way is closed all the same
            self._guarded("finish", lambda: run.finish(exit_code=exit_code))
        self._live = False
        self._restore_environ()

    @property
    def _live_run(self) -> Run:
        assert self._run is not None
        return self._run
