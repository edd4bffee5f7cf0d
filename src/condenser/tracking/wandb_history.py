"""What W&B has of a run already: one that goes on, or is run again, adds only what is missing.

W&B writes all that is logged to a ``.wandb`` file in ``wandb/[offline-]run-DATE-ID``, one folder
for each process; several with one ID are one run. The file is a LevelDB log: 7 bytes of header,
then blocks of 32 KiB with chunks of crc32 | length | type | payload, whose joined payloads are
protobuf Records (https://github.com/google/leveldb/blob/main/doc/log_format.md).
"""

from __future__ import annotations

import csv
import json
import os
import struct
from collections.abc import Iterator, Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wandb import Run

Row = Mapping[str, float]
Curved = tuple[str, int, dict[str, float]]  # stage label, step, values

AXES = ("/step", "/position", "/search/trial", "/search/chosen")  # what tells rows apart
BLOCK, CHUNK, ENDS = 32768, struct.Struct("<IHB"), (1, 4)


class History:
    """The rows of a run's history that W&B has, and the number of the next.

    Args:
        parts: the folders that earlier processes left of this run. What they hold counts as sent
            where this process is offline, for ``wandb sync`` sends them first; online, the server
            says how many rows it has.

    Attributes:
        steps: W&B's numbers of the rows to come.
        began: an earlier process has begun this run; only then is what this one logs remembered.
        lost: W&B has rows of which nothing here tells, as after `wandb clean`.
    """

    def __init__(self, run: Run, parts: Sequence[Path]) -> None:
        self._had: dict[frozenset[tuple[str, float]], frozenset[str]] = {}
        self._sets: dict[frozenset[str], frozenset[str]] = {}
        seen: set[int] = set()
        for row in (row for part in parts for row in logged(part)):
            step = int(row.pop("_step", 0))
            if run.offline or step < run.starting_step:
                self.add(row)
                seen.add(step)
        self.lost = len(seen) < run.starting_step
        self.steps = count(max(run.starting_step, max(seen, default=-1) + 1))
        self.began = bool(parts) or run.resumed

    def add(self, row: Row) -> None:
        keys = frozenset(row) | self._had.get(place(row), frozenset())
        self._had[place(row)] = self._sets.setdefault(keys, keys)

    def take(self, row: Row) -> dict[str, float]:
        """What W&B lacks of a row, with its axis; nothing where it has all. Now it has it."""
        if not self.began:
            return dict(row)
        had = self._had.get(place(row), frozenset())
        self.add(row)
        found = {key: row[key] for key in row if key not in had or key.endswith(AXES)}
        return found if found.keys() - had else {}


def place(row: Row) -> frozenset[tuple[str, float]]:
    """Which chart, and where on its axis."""
    return frozenset((key, value) for key, value in row.items() if key.endswith(AXES))


def parts(folder: Path) -> list[Path]:
    """What processes before this one left of a run in its folder, the oldest first."""
    found = (folder / "wandb").glob("*run-*-*")  # the folders' names begin with their dates
    return sorted(found, key=lambda path: path.name.removeprefix("offline-"))


def run_id_of(part: Path) -> str:
    """The id in ``offline-run-20260101_120000-ID``."""
    return part.name.removeprefix("offline-").split("-", 2)[2]


def curves(folder: Path) -> list[Curved]:
    """Each row of a run's curves on disk, the latest stage last."""
    files = sorted(folder.glob("*/metrics.csv"), key=lambda path: path.stat().st_mtime)
    return [(path.parent.name, *row) for path in files for row in curve(path)]


def curve(path: Path) -> Iterator[tuple[int, dict[str, float]]]:
    with path.open(encoding="utf-8", newline="") as file:
        for cells in csv.DictReader(file):
            if None in cells.values() or None in cells:  # a kill can leave half a row behind
                return
            values = {key: float(cell) for key, cell in cells.items() if cell}
            yield int(values.pop("step")), values


def logged(part: Path) -> Iterator[dict[str, float]]:
    """The rows of history that a process wrote; of values only where on its axis a row is."""
    for path in part.glob("run-*.wandb"):
        for _, record in read(path.read_bytes()):
            if record.WhichOneof("record_type") == "history":
                items = (
                    (i.key or "/".join(i.nested_key), i.value_json) for i in record.history.item
                )
                yield {k: json.loads(v) if k.endswith((*AXES, "_step")) else 0.0 for k, v in items}


def trim(part: Path) -> None:
    """Cuts off what a kill left half written: `wandb sync` stops there, and sends no later part."""
    for path in part.glob("run-*.wandb"):
        data = path.read_bytes()
        whole = max((end for end, _ in read(data)), default=len(data))
        if whole < len(data):
            os.truncate(path, whole)


def read(data: bytes) -> Iterator[tuple[int, Any]]:
    """The whole Records of a ``.wandb`` file, and where each ends."""
    from google.protobuf.message import DecodeError
    from wandb.proto import wandb_internal_pb2

    at, payload = 7, b""
    while at + CHUNK.size <= len(data):
        if (left := BLOCK - at % BLOCK) < CHUNK.size:
            at += left
            continue
        _, length, kind = CHUNK.unpack_from(data, at)
        at += CHUNK.size + length
        if at > len(data):
            return
        payload += data[at - length : at]
        if kind in ENDS:
            record: Any = wandb_internal_pb2.Record()  # type: ignore[attr-defined]
            try:
                record.ParseFromString(payload)
            except DecodeError:
                return
            payload = b""
            yield at, record
