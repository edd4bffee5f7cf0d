"""Optuna's journal on disk: committed atomically, with lines chained by checksums.

Any reader of Optuna journal files can open it (optuna-dashboard search.journal).
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from optuna.storages.journal import BaseJournalBackend

from condenser.errors import CondenserError, DamagedError
from condenser.files import read_bytes

Line = dict[str, Any]
SUM = "crc32"


class Journal(BaseJournalBackend):
    """Buffers the lines that Optuna appends until ``commit`` writes them to disk at once.

    A process killed between two commits leaves the file at the first one.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lines = read(path)
        self.written = len(self.lines)
        self._sum = self.lines[-1][SUM] if self.lines else 0

    def read_logs(self, log_number_from: int) -> Iterable[Line]:
        return list(self.lines[log_number_from:])

    def append_logs(self, logs: list[Line]) -> None:
        self.lines += [json.loads(json.dumps(line)) for line in logs]  # as it will be read

    def commit(self) -> None:
        """Write to disk; CondenserError on failure, with the file unchanged."""
        text, sum_ = "", self._sum
        for line in self.lines[self.written :]:
            whole = summed(line, sum_)
            text, sum_ = f"{text}{json.dumps(whole)}\n", whole[SUM]
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("ab") as file:
                before = file.tell()
                try:
                    file.write(text.encode())
                    file.flush()
                    os.fsync(file.fileno())
                except OSError:
                    os.truncate(self.path, before)
                    raise
        except OSError as error:
            raise CondenserError(f"{self.path}: cannot be written: {error.strerror}") from error
        self.written, self._sum = len(self.lines), sum_


def read(path: Path) -> list[Line]:
    """The lines of a journal; a truncated last line is removed from the file.

    Raises:
        DamagedError: any other line is damaged.
    """
    if not path.exists():
        return []
    try:
        whole, newline, torn = read_bytes(path).rpartition(b"\n")
        if torn:
            os.truncate(path, len(whole + newline))
    except OSError as error:
        raise CondenserError(f"{path}: cannot be read: {error.strerror}") from error
    lines: list[Line] = []
    for number, line in enumerate(whole.split(b"\n") if newline else [], 1):
        before = lines[-1][SUM] if lines else 0
        lines.append(checked(line, before, f"{path}:{number}"))
    return lines


def checked(text: bytes, before: int, where: str) -> Line:
    try:
        line = json.loads(text)
        whole = isinstance(line, dict) and summed(line, before) == line
    except (ValueError, RecursionError):
        whole = False
    if not whole:
        raise damaged(where)
    return line  # type: ignore[no-any-return]


def summed(line: Line, before: int) -> Line:
    """The line with a checksum over its content and ``before``, the previous checksum."""
    rest = {key: value for key, value in line.items() if key != SUM}
    return {**rest, SUM: zlib.crc32(json.dumps(rest, sort_keys=True).encode(), before)}


def damaged(where: str) -> DamagedError:
    return DamagedError(
        f"{where}: the journal of the search is damaged; delete the file to search again: what "
        "was trained is still in the store"
    )


@contextmanager
def alone(path: Path, wait: bool = False) -> Iterator[Path]:
    """Exclusive access to the journal's path within the block.

    Raises:
        CondenserError: another process holds it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path.with_name(f".{path.name}.lock"), timeout=-1 if wait else 0)
    try:
        lock.acquire()
    except Timeout as error:
        raise CondenserError(f"{path}: another search is at work in this folder") from error
    except OSError as error:
        raise CondenserError(f"{path}: cannot be written: {error.strerror}") from error
    try:
        yield path
    finally:
        lock.release()
