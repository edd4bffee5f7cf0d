"""How a run stands: status.json beside its records, for whoever comes after it.

    {"state": "done", "hash": "…", "records": 4, "seconds": 12.3, "attempts": 1, "date": "…"}

``state`` is running, done, failed or stopped; ``hash`` says of which config, ``inputs`` of which
files that it reads. What says running and has no process is a run that was killed: the same
command goes on where it was.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from condenser.errors import CondenserError, DamagedError
from condenser.files import read_json, write_json
from condenser.runs import interrupts, ranks, records
from condenser.runs.records import Record

FILE = "status.json"


def read(folder: Path) -> dict[str, Any]:
    """What the folder's status says; nothing where there is none that can be read."""
    try:
        return read_json(folder / FILE)
    except DamagedError:
        return {}


def write(folder: Path, **metrics: Any) -> None:
    """Put facts on top of what is there; a status of another config is forgotten."""
    old = read(folder)
    if metrics.get("hash", old.get("hash")) != old.get("hash"):
        old = {}
    folder.mkdir(parents=True, exist_ok=True)
    now = datetime.now(UTC).isoformat(timespec="seconds")
    write_json(folder / FILE, old | metrics | {"date": now})


def finished(folder: Path, digest: str) -> Record | None:
    """The final record, where a run of just this config ended well and its records are whole."""
    status = read(folder)
    if status.get("state") != "done" or status.get("hash") != digest:
        return None
    found = written(folder)
    return records.final(found) if found and len(found) == status.get("records") else None


def done_before(folder: Path, digest: str, inputs: str | None) -> Record | None:
    """The same, where what it read (``config.inputs``) is as it was then."""
    return finished(folder, digest) if read(folder).get("inputs") == inputs else None


def written(folder: Path) -> list[Record]:
    """The records that a run has written so far."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", records.RecordWarning)
        try:
            return records.read([folder / records.FILE])
        except CondenserError:
            return []


@contextmanager
def kept(
    folder: Path,
    digest: str,
    inputs: str | None = None,
    told: Callable[[], Mapping[str, Any]] = dict,
) -> Iterator[None]:
    """Write how the run that goes on within stands, and how it ended; ``told`` of a good end."""
    if not ranks.first():
        yield
        return
    begun = time.monotonic()
    write(folder, hash=digest, inputs=inputs, state="running", records=0, reason=None)
    state: dict[str, Any] = {"state": "failed"}
    try:
        yield
        state = {"state": "done", "records": len(written(folder)), **told()}
    except BaseException as error:
        if interrupts.came() or isinstance(error, KeyboardInterrupt):
            state = {"state": "stopped"}
        else:
            state["reason"] = f"{type(error).__name__}: {error}".splitlines()[0]
        raise
    finally:
        write(folder, **state, seconds=round(time.monotonic() - begun, 3))
