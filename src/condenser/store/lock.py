"""A hand on an entry: whoever holds one keeps it from being removed. Gone with its process."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

try:
    import fcntl
except ImportError:  # no POSIX: nothing is held, and rm says so of nobody
    fcntl = None  # type: ignore[assignment]

Hold = BinaryIO


def hold(file: Path) -> Hold | None:
    """Share a lock on the file with all who use it; None if it has gone. Closing it lets go.

    Where locks do not work, as on some network drives, the file is only opened.
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


def alone(file: Path) -> Hold | None:
    """The file for oneself, or None where somebody holds it; FileNotFoundError without one."""
    held = file.open("rb")
    if fcntl is not None:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            held.close()
            return None
        except OSError:  # no locks on this drive
            pass
    return held


def same(held: Hold, file: Path) -> bool:
    """Whether what is held is still what goes by this name."""
    try:
        return os.path.samestat(os.fstat(held.fileno()), file.stat())
    except FileNotFoundError:
        return False
