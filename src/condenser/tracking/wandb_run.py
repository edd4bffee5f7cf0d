"""One Weights & Biases run per Condenser run. The only file that knows W&B.

W&B never holds a run up: every call is guarded, every wait is bounded, and the first failure
turns it off with one warning. The CSV files are complete whatever happens here.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import uuid4

from condenser.errors import ConfigError, nearest, one_of
from condenser.records import final
from condenser.tracking.base import Identity, Record, is_main_process, unique_tags
from condenser.tracking.csv_files import CsvTracker
from condenser.tracking.values import as_cell, numbers_of, plain, union_of_keys
from condenser.tracking.within import within

if TYPE_CHECKING:
    from wandb import Run

    from condenser.tracking.stage_logger import Writer

log = logging.getLogger(__name__)
T = TypeVar("T")

MODES = ("online", "offline", "disabled")
OLD_MODES = {"dryrun": "offline", "run": "online"}  # W&B still takes these from the environment
SIZE, ACCURACY = "size/file_bytes", "test/accuracy"
TABLE_SECONDS = 10  # logging a table asks the server something; a dead one blocks that for 20 s
GRACE_SECONDS = 5  # from W&B's own timeout at the end to ours, which stands behind it


class WandbTracker(CsvTracker):
    """All that CsvTracker writes, and the same in W&B.

    Curves are ``2-prune/val/accuracy`` over ``2-prune/step``; the numbers of each record are
    ``stage/<key>`` over ``stage/position``; the summary is the last record, key for key; all
    records are the table ``records``, and ``accuracy_vs_size`` is their plot.

    ``mode`` null means ``$WANDB_MODE``, else what ``wandb offline`` or ``wandb disabled`` set,
    else online where an API key is found and offline where none is. A server that does not answer
    within ``init_timeout`` seconds makes the run an offline one; ``finish_timeout`` seconds is what
    the last upload may take. What was not sent stays in ``<folder>/wandb`` for ``wandb sync``.
    Raises ConfigError for a ``mode`` that does not exist, and nothing else.
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
        finish_timeout: float = 20,
    ) -> None:
        super().__init__(identity, config, folder)
        if mode is not None and mode not in MODES:
            raise ConfigError("logger.mode", mode, one_of(MODES), nearest(mode, MODES))
        self._finish_timeout = finish_timeout
        self._failed = False

        def start() -> Run | None:
            return open_run(
                mode or os.environ.get("WANDB_MODE"),
                (init_timeout, finish_timeout),
                dir=self.folder,
                config={**plain(config), **facts_of(identity, self.folder)},
                project=project or identity.project,
                entity=entity,
                group=identity.group,
                job_type=identity.job_type,
                name=identity.name,
                tags=unique_tags((*identity.tags, *tags)),
                notes=identity.notes,
            )

        self._run = self._attempt("start", start) if is_main_process() else None

    def writers(self, stage_label: str) -> list[Writer]:
        """The CSV file, and this stage's own charts over its own steps."""
        self._log("define an axis", partial(define_axis, prefix=stage_label, axis="step"))
        return [*super().writers(stage_label), partial(self._log_curve, stage_label)]

    def record(self, record: Record) -> None:
        """Logs the numbers of a record as one row of history."""
        super().record(record)
        row = {f"stage/{key}": value for key, value in numbers_of(record).items()}
        self._log("define an axis", partial(define_axis, prefix="stage", axis="position"))
        self._log("log a record", lambda run: run.log(row))

    def finish(self, records: Sequence[Record], exit_code: int) -> None:
        """Writes summary, table and plot and closes the W&B run; harmless when called again."""
        super().finish(records, exit_code)
        if records:
            last = plain(final(records))
            self._log("write the summary", lambda run: run.summary.update(last))
            tables = partial(log_tables, records=records)
            self._log("log the tables", lambda run: within(TABLE_SECONDS, partial(tables, run)))
        run, self._run = self._run, None
        if run is not None:  # one that failed on the way is closed all the same
            close = partial(close_run, run, exit_code)
            self._attempt("finish", partial(within, self._finish_timeout + GRACE_SECONDS, close))

    def _log_curve(self, label: str, values: Mapping[str, float], step: int) -> None:
        row = {f"{label}/{key}": value for key, value in values.items()}
        self._log("log a curve", lambda run: run.log({**row, f"{label}/step": step}))

    def _log(self, what: str, action: Callable[[Run], object]) -> None:
        if self._run is not None and not self._failed:
            self._attempt(what, partial(action, self._run))

    def _attempt(self, what: str, action: Callable[[], T]) -> T | None:
        try:
            return action()
        except Exception as error:  # whatever W&B does, the run goes on
            if not self._failed:
                log.warning("W&B could not %s and is off for this run: %s", what, brief(error))
            self._failed = True
        return None


def open_run(mode: str | None, timeouts: tuple[float, float], **facts: Any) -> Run | None:
    """Begins a W&B run that no other code logs into, or none where the mode is ``disabled``.

    ``timeouts`` are seconds to start and to finish, ``facts`` are arguments of wandb.init.
    """
    if mode == "disabled":
        return None
    import wandb

    try:
        with no_analytics():
            wandb.setup(wandb.Settings(silent=True))
            mode = OLD_MODES.get(mode, mode) if mode else find_mode()
            return None if mode == "disabled" else begin_run(mode, timeouts, facts)
    except BaseException:
        stop_service()
        raise


def begin_run(mode: str, timeouts: tuple[float, float], facts: dict[str, Any]) -> Run:
    """Begins a run; where online does not work, it warns and begins an offline run instead."""
    import wandb

    folder: Path = facts["dir"]
    folder.mkdir(parents=True, exist_ok=True)
    run_id = os.environ.get("WANDB_RUN_ID") or uuid4().hex[:8]
    settings = run_settings(*timeouts)
    begin: Any = partial(wandb.init, id=run_id, reinit="create_new", settings=settings, **facts)
    try:
        run = begin(mode=mode)
    except Exception as error:
        if mode == "offline":
            raise
        stop_service()  # it still tries, and holds the id
        for empty in (folder / "wandb").glob(f"run-*-{run_id}"):
            shutil.rmtree(empty, ignore_errors=True)
        run = begin(mode="offline")
        log.warning("W&B is offline for this run; `wandb sync` can send it later: %s", brief(error))
    log.info("W&B run: %s", run.settings.sync_dir if run.offline else run.url)
    return run


@contextmanager
def no_analytics() -> Iterator[None]:
    """Starts W&B without its usage reports, which even an offline run sends as it exits.

    Where packets are dropped, as on many clusters, that delays the exit by 10 s. A person's own
    ``$WANDB_ERROR_REPORTING`` stands.
    """
    name = "WANDB_ERROR_REPORTING"
    theirs = name in os.environ
    os.environ.setdefault(name, "false")
    try:
        yield
    finally:
        if not theirs:
            del os.environ[name]


def run_settings(init_timeout: float, finish_timeout: float) -> Any:
    """W&B without output, code or git state, and with an end to every wait."""
    import wandb

    return wandb.Settings(
        silent=True,
        console="off",
        disable_git=True,
        disable_code=True,
        init_timeout=init_timeout,
        finish_timeout=finish_timeout,
        finish_timeout_raises=True,
        x_transaction_log_flush_interval=1,  # a killed run loses a second of curves, not fifteen
    )


def find_mode() -> str:
    """The mode in W&B's own settings files, else online with an API key and offline without."""
    import wandb

    mode: str = wandb.setup().settings.mode
    if mode != "online":
        return mode
    with suppress(wandb.Error):  # a key of the wrong form: starting online says what is wrong
        mode = "online" if wandb.login(prompt=False, verify=False) else "offline"
    return mode


def facts_of(identity: Identity, folder: Path) -> dict[str, str]:
    """What the W&B config holds beside the run's own: commit, key hash, the run it goes on from."""
    logs = (folder / "wandb").glob("*run-*/run-*.wandb")
    earlier = max(logs, key=lambda path: path.stat().st_mtime, default=None)
    resumed_from = earlier.stem.removeprefix("run-") if earlier else None
    facts = {"commit": identity.commit, "key": identity.key, "resumed_from": resumed_from}
    return {name: value for name, value in facts.items() if value is not None}


def define_axis(run: Run, prefix: str, axis: str) -> None:
    """Draws all of ``prefix/`` over ``prefix/axis``, and leaves the summary to the last record."""
    run.define_metric(f"{prefix}/{axis}", hidden=True, summary="none")
    run.define_metric(f"{prefix}/*", step_metric=f"{prefix}/{axis}", summary="none")


def log_tables(run: Run, records: Sequence[Record]) -> None:
    """Logs all records as a table, and their accuracy against size as a scatter plot."""
    import wandb

    columns = union_of_keys(records)
    logged: dict[str, Any] = {"records": table_of(records, columns)}
    points = [r for r in records if r.get(SIZE) is not None and r.get(ACCURACY) is not None]
    if points:
        table = table_of(points, ["model", "stage", SIZE, ACCURACY])
        logged["accuracy_vs_size"] = wandb.plot.scatter(table, SIZE, ACCURACY, "Accuracy vs size")
    run.log(logged)


def table_of(records: Iterable[Record], columns: Sequence[str]) -> Any:
    """A W&B table with one row a record; what a record lacks is an empty cell."""
    import wandb

    rows = [[as_cell(record.get(column)) for column in columns] for record in records]
    return wandb.Table(columns=list(columns), data=rows, allow_mixed_types=True)


def close_run(run: Run, exit_code: int) -> None:
    """Finishes the run and leaves nothing of it to the next."""
    try:
        run.finish(exit_code=exit_code)
    finally:
        stop_service()


def brief(error: Exception) -> str:
    """Kind and first line of an error."""
    return f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"


def stop_service() -> None:
    """Ends W&B's background process, unless somebody's own run still needs it.

    Without that, settings, credentials and ``$WANDB_SERVICE`` live on into the next run, and a
    background process that broke in one run breaks all later ones.
    """
    import wandb

    if wandb.run is None:
        with suppress(SystemExit):  # which carries the background process's exit code
            wandb.teardown()
