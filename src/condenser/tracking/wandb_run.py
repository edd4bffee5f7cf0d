"""One Weights & Biases run per Condenser run. Only the files called wandb_ know W&B.

W&B never holds a run up: every call is guarded, every wait is bounded, and the first failure
turns it off with one warning. The CSV files are complete whatever happens here.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from condenser.errors import UnknownError
from condenser.runs import ranks
from condenser.runs.records import final
from condenser.tracking.background_worker import Deadline
from condenser.tracking.base import Identity, Record, unique_tags
from condenser.tracking.csv_files import CsvTracker
from condenser.tracking.timeout import within
from condenser.tracking.values import chart_name, numbers_of, plain, recipe_words
from condenser.tracking.wandb_history import Curved, History, Row, curves, parts, run_id_of, trim
from condenser.tracking.wandb_models import KEPT, Models
from condenser.tracking.wandb_start import brief, close_run, facts_of, open_run, run_id
from condenser.tracking.wandb_tables import define_axis, log_tables, write_summary

if TYPE_CHECKING:
    from wandb import Run

    from condenser.tracking.stage_logger import Writer

log = logging.getLogger(__name__)
T = TypeVar("T")

MODES = ("online", "offline", "disabled")
TABLE_SECONDS = 8  # logging a table asks the server something; a dead one blocks that for 20 s
REPLAY_SECONDS = 5  # to send what of earlier curves W&B lacks
LEAST_SECONDS = 3  # to close a run, however long what was before has taken


class WandbTracker(CsvTracker):
    """All that CsvTracker writes, and the same in W&B.

    Curves are ``prune/val/accuracy`` over ``prune/step``, a recipe's second prune is ``prune-2``;
    the numbers of each record are
    ``stage/<key>`` over ``stage/position``; the summary is the last record, key for key; all
    records are the table ``records``, and ``accuracy_vs_size`` is their plot. The models are
    artifacts, see ``Models``.

    A run that was killed and goes on is one W&B run, offline, too: `wandb sync <folder>/wandb`
    joins its parts. The same command again, all of it from the store, updates that run and adds
    none; another config, or another machine, makes another (``run_id``). Nothing is logged twice,
    and what a kill kept W&B from getting of the curves is sent from the CSV files.

    ``mode`` null means ``$WANDB_MODE``, else what ``wandb offline`` or ``wandb disabled`` set,
    else online where an API key is found and offline where none is. A server that does not answer
    within ``init_timeout`` seconds makes the run an offline one; ``finish_timeout`` seconds is what
    all may take that is left at the end. No more is ever waited for W&B: what it sends while the
    run goes on, it sends beside it. What was not sent stays in ``<folder>/wandb`` for
    ``wandb sync``. ``artifacts`` are auto, metadata or none; files of more than
    ``largest_artifact`` bytes stay where they are.
    Raises ConfigError for a ``mode`` or ``artifacts`` that do not exist, and nothing else.
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
        finish_timeout: float = 18,
        artifacts: str = "auto",
        largest_artifact: float = 100_000_000,
    ) -> None:
        super().__init__(identity, config, folder)
        for key, asked, allowed in (("mode", mode, MODES), ("artifacts", artifacts, KEPT)):
            if asked is not None and asked not in allowed:
                raise UnknownError(f"logger.{key}", asked, allowed)
        self._finish_timeout = finish_timeout
        self._models = Models(artifacts, largest_artifact)
        self._failed, self._rest = False, ""
        self._recipe = recipe_words(config)

        def start() -> Run | None:
            earlier = parts(self.folder)
            run = open_run(
                mode or os.environ.get("WANDB_MODE"),
                (init_timeout, finish_timeout),
                id=run_id(identity, self.folder, earlier),
                dir=self.folder,
                config={**plain(config), **facts_of(identity)},
                project=project or identity.project,
                entity=entity,
                group=identity.group,
                job_type=identity.job_type,
                name=identity.name,
                tags=unique_tags((*identity.tags, *tags)),
                notes=identity.notes,
            )
            if run is None:
                return None
            self._earlier = [part for part in earlier if run_id_of(part) == run.id]
            self._history = History(run, self._earlier)
            if not run.offline:
                where = Path(run.settings.sync_dir)
                self._rest = f"; `wandb sync --include-online {where}` sends the rest"
            return run

        self._run = self._attempt("start", start) if ranks.first() else None
        self._log("send earlier curves", lambda run: self._replay(curves(self.folder)[:-1]))

    def writers(self, stage_label: str) -> list[Writer]:
        """The CSV file, and this stage's own charts over its own steps."""
        self._define_curve(stage_label)
        return [*super().writers(stage_label), partial(self._log_curve, stage_label)]

    def record(self, record: Record, folder: Path | None = None) -> None:
        """Logs the numbers of a record as one row of history, and the model in the folder."""
        super().record(record, folder)
        row = {f"stage/{key}": value for key, value in numbers_of(record).items()}
        self._log("define an axis", partial(define_axis, prefix="stage", axis="position"))
        if not (self._run and self._history.lost and record.get("cost/reused")):
            self._log_row("log a record", row)
        self._log("log a model", lambda run: self._models.send(run, record, folder))

    def finish(self, records: Sequence[Record], exit_code: int) -> None:
        """Writes summary, table and plot and closes the W&B run; harmless when called again."""
        super().finish(records, exit_code)
        patience = Deadline(self._finish_timeout)
        if self._run is not None and self._history.began:
            self._log("send earlier curves", lambda run: self._replay(curves(self.folder)))
        if records:
            last = plain(final(records))
            self._log("write the summary", partial(write_summary, values=last))
            tables = partial(log_tables, records=records)
            seconds = min(TABLE_SECONDS, patience.left(share=0.45))
            self._log("log the tables", lambda run: within(seconds, partial(tables, run)))
            self._log("link the models", lambda run: self._models.link(run, records))
        self._log("send the models", lambda run: self._models.wait(patience.left(share=0.5)))
        self._log("mend earlier parts", lambda run: [*map(trim, self._earlier)])
        run, self._run = self._run, None
        if run is not None:  # one that failed on the way is closed all the same
            close = partial(close_run, run, exit_code)
            seconds = patience.left(least=LEAST_SECONDS)
            self._attempt("finish", partial(within, seconds, close))

    def _replay(self, rows: Sequence[Curved]) -> None:
        """Sends what W&B lacks of the curves on disk: a kill takes the last seconds from it.

        The last row waits for the end: where its stage goes on, that writes it whole.
        """
        if self._history.lost:
            return
        self._history.began |= bool(rows)
        patience, labels = Deadline(REPLAY_SECONDS), set()
        for label, step, values in rows:
            if not patience.left():
                return
            if label not in labels:
                labels.add(label)
                self._define_curve(label)
            self._log_curve(label, values, step)

    def _define_curve(self, label: str) -> None:
        name = chart_name(label, self._recipe)
        self._log("define an axis", partial(define_axis, prefix=name, axis="step"))

    def _log_curve(self, label: str, values: Mapping[str, float], step: int) -> None:
        self._log_row("log a curve", row_of(chart_name(label, self._recipe), values, step))

    def _log_row(self, what: str, row: Row) -> None:
        """Logs what W&B has not yet."""

        def send(run: Run) -> None:
            if missing := self._history.take(row):
                run.log(missing, step=next(self._history.steps), commit=True)

        self._log(what, send)

    def _log(self, what: str, action: Callable[[Run], object]) -> None:
        if self._run is not None and not self._failed:
            self._attempt(what, partial(action, self._run))

    def _attempt(self, what: str, action: Callable[[], T]) -> T | None:
        try:
            return action()
        except Exception as error:  # whatever W&B does, the run goes on
            if not self._failed:
                said = f"{brief(error)}{self._rest}"
                log.warning("W&B could not %s and is off for this run: %s", what, said)
            self._failed = True
        return None


def row_of(name: str, values: Mapping[str, float], step: int) -> Row:
    """A row of a stage's curves as W&B gets it."""
    return {**{f"{name}/{key}": value for key, value in values.items()}, f"{name}/step": step}
