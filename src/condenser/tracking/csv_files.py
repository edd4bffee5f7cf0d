"""Curves and records as CSV files in the run's folder."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from condenser.files import read_bytes, write_whole
from condenser.runs import ranks
from condenser.tracking.base import Identity, Record
from condenser.tracking.values import as_cell, union_of_keys

if TYPE_CHECKING:
    from pytorch_lightning.loggers import Logger

    from condenser.tracking.stage_logger import Writer


class CsvTracker:
    """Curves in ``<folder>/<stage_label>/metrics.csv``, all records in ``<folder>/records.csv``.

    ``identity`` and ``config`` are not used here: every tracker is constructed alike.
    """

    def __init__(self, identity: Identity, config: Mapping[str, Any], folder: Path) -> None:
        self.folder = Path(folder).absolute()

    def lightning_logger(self, stage_label: str) -> list[Logger]:
        """One Lightning logger that writes the curves of this stage."""
        from condenser.tracking.stage_logger import StageLogger

        return [StageLogger(self.folder, stage_label, self.writers(stage_label))]

    def writers(self, stage_label: str) -> list[Writer]:
        """What each row of this stage's curves is given to."""
        return [CsvCurve(self.folder / stage_label / "metrics.csv")]

    def record(self, record: Record, folder: Path | None = None) -> None:
        """Nothing: the runner has the record on disk before a tracker hears of it."""

    def finish(self, records: Sequence[Record], exit_code: int) -> None:
        """Writes ``records.csv``, one row a stage, its columns the union of all keys."""
        if ranks.first() and records:
            columns = union_of_keys(records)
            rows = [[as_cell(record.get(column)) for column in columns] for record in records]
            write_whole(self.folder / "records.csv", to_csv([columns, *rows]))


class CsvCurve:
    """A curve on disk: one row a step, complete after every call, columns in order of arrival.

    Lightning's own CSVLogger deletes what an earlier, killed process wrote. This one takes that
    curve up: rows from the first new step on are replaced, those before it stay.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.columns: list[str] = []
        self._last: dict[str, Any] = {}
        self._offset = 0  # where the last row starts, to widen it when its step comes again

    def __call__(self, values: Mapping[str, float], step: int) -> None:
        if not self.columns:
            self._take_up(step)
        if self._last.get("step") != step:
            self._last = {"step": step}
            self._offset = self.path.stat().st_size
        self._last.update(values)
        if new := [key for key in values if key not in self.columns]:
            self._widen(new)
        with self.path.open("r+b") as file:
            file.seek(self._offset)
            file.write(to_csv([[self._last.get(key, "") for key in self.columns]]).encode())
            file.truncate()

    def _take_up(self, step: int) -> None:
        text = read_bytes(self.path).decode() if self.path.exists() else ""
        whole = text[: text.rfind("\n") + 1]  # a kill can leave half a row behind
        header, *rows = list(csv.reader(io.StringIO(whole))) or [["step"]]
        self.columns = header
        self._replace([row for row in rows if int(row[0]) < step])

    def _widen(self, new: Iterable[str]) -> None:
        with self.path.open("rb") as file:
            written = file.read(self._offset).decode()
        _, *rows = csv.reader(io.StringIO(written))
        self.columns = [*self.columns, *new]
        self._replace([row + [""] * (len(self.columns) - len(row)) for row in rows])
        self._offset = self.path.stat().st_size

    def _replace(self, rows: Iterable[Sequence[object]]) -> None:
        write_whole(self.path, to_csv([self.columns, *rows]))


def to_csv(rows: Iterable[Iterable[object]]) -> str:
    """Rows as CSV text; floats keep every digit, None is an empty cell."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()
