"""Shared lock on a store entry; prevents removal while held, released when the process exits."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from filelock import FileLock, Timeout

from condenser.runs.turns import pause

try:
    import fcntl
except ImportError:  # no POSIX: no locks
    fcntl = None  # type: ignore[assignment]

Hold = BinaryIO


def hold(file: Path) -> Hold | None:
    """Take a shared lock on the file; None if the file is gone. Closing it releases the lock.

    Where locks are unsupported, as on some network drives, the file is only opened.
    """
    try:
        held = file.open("rb")
    except FileNotFoundError:
        return None
    if fcntl is not None:
        with suppress(OSError):
            fcntl.flock(held, fcntl.LOCK_SH)
    if same(held, file):
        return held
    held.close()
    return None


@contextmanager
def taken(file: Path) -> Iterator[None]:
    """Hold the lock file; while another holds it, wait, and let others of this process go on."""
    lock = FileLock(file)
    while not lock.is_locked:
        with suppress(Timeout):
            lock.acquire(timeout=0)
            break
        pause()
    try:
        yield
    finally:
        lock.release()


def alone(file: Path) -> Hold | None:
    """Take the exclusive lock; None if somebody holds it; FileNotFoundError without the file."""
    held = file.open("rb")
    if fcntl is not None:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            held.close()
            return None
        except OSError:  # locks unsupported on this drive
            pass
    return held


def same(held: Hold, file: Path) -> bool:
    """Whether the locked file is still the one at this path."""
    try:
        return os.path.samestat(os.fstat(held.fileno()), file.stat())
    except FileNotFoundError:
        return False
