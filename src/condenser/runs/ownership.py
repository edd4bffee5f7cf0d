"""A run's folder: one process writes into it at a time, and it holds the results of one config."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

from condenser.errors import CondenserError, DamagedError
from condenser.files import read_bytes
from condenser.runs import records, saved, status
from condenser.runs.records import Record

try:
    import fcntl
except ImportError:  # no POSIX: nothing is locked
    fcntl = None  # type: ignore[assignment]

LOCK, PREVIOUS = ".lock", ".previous"
STAYS = (status.FILE, "console.log")  # of whoever starts a run, which writes them before


@contextmanager
def owned(folder: Path, mark: str) -> Iterator[None]:
    """The folder is this process's own; the lock is gone with it, however it ends.

    A folder that was made for this and has nothing in it is removed again.

    Raises:
        CondenserError: another process is at it; says which, and what to do.
    """
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / LOCK
    held = _taken(file)
    if held is None:
        raise CondenserError(_refusal(folder, mark))
    try:
        who = {"pid": os.getpid(), "host": socket.gethostname(), "config": mark}
        held.truncate(0)
        held.write(json.dumps(who).encode())
        held.flush()
        yield
    finally:
        file.unlink(missing_ok=True)
        held.close()
        with suppress(OSError):  # there is something in it
            for path in made:
                path.rmdir()


def busy(folder: Path) -> bool:
    """Whether another process is at a run in this folder."""
    if not (folder / LOCK).exists():
        return False
    held = _taken(folder / LOCK)
    if held is not None:
        held.close()
    return held is None


def _taken(file: Path) -> BinaryIO | None:
    """The locked file, or None where another process has it.

    The lock is the process's alone: what it forks, to load data, does not keep it when it is gone.
    """
    while True:
        held = file.open("a+b")
        try:
            if fcntl is not None:
                fcntl.lockf(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            held.close()
            return None
        except OSError:  # no locks on this drive
            pass
        with suppress(FileNotFoundError):  # who had it has removed it
            if os.path.samestat(os.fstat(held.fileno()), file.stat()):
                return held
        held.close()


def _refusal(folder: Path, mark: str) -> str:
    try:
        who: Any = json.loads(read_bytes(folder / LOCK))
        where = f"process {who['pid']} on {who['host']}"
    except (OSError, ValueError, TypeError, KeyError, DamagedError):  # it has just begun
        who, where = {}, "another process"
    if who.get("config") == mark:
        return f"{folder}: {where} is at this run; wait for it, or stop it and run this again"
    return f"run={folder.name}: must be another name: {where} runs another config in {folder}"


def set_aside(folder: Path, mark: str, warn: Callable[[str], None]) -> None:
    """Move what a run of another config left in the folder into a folder of its own there.

    What a kill leaves half moved is moved the next time.
    """
    if marks(folder) <= {mark}:
        return
    now = f"{datetime.now(UTC):%Y%m%d-%H%M%S}"
    places = (folder / PREVIOUS / name for name in (now, *(f"{now}-{n}" for n in range(2, 1000))))
    place = next(path for path in places if not path.exists())
    place.mkdir(parents=True)
    for path in sorted(folder.iterdir()):
        if path.name not in STAYS and not path.name.startswith("."):
            os.replace(path, place / path.name)
    warn(f"{folder} held results of another config: they are in {place} now")


def check(folder: Path) -> None:
    """CondenserError where the config in a folder is not the one its records were made with."""
    if said := mixed(folder, status.written(folder)):
        raise CondenserError(said)


def mixed(folder: Path, found: Iterable[Record]) -> str | None:
    """What to say of a folder whose config is not the one that these records of it are of."""
    file = folder / saved.FILE
    if not file.exists() or {saved.mark(file)}.issuperset(map(known, found)):
        return None
    said = f"{saved.FILE} and {records.FILE} are of different configs"
    return f"{folder}: {said}; run it again to have them of one"


def marks(folder: Path) -> set[str | None]:
    """Which configs the files of a run are of; None: they do not say, as old ones."""
    found = {known(record) for record in status.written(folder)}
    if (folder / saved.FILE).exists():
        found.add(saved.mark(folder / saved.FILE))
    return found


def known(record: Record) -> str | None:
    mark = record.get("config")
    return None if mark is None else str(mark)
