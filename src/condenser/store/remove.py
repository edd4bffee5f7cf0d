"""Remove entries from a store: atomically, and never one in use."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from filelock import FileLock, Timeout

from condenser.errors import CondenserError
from condenser.store.entries import RECORD
from condenser.store.inventory import Kept
from condenser.store.io_errors import in_words
from condenser.store.lock import alone
from condenser.store.marker import LEFT, OUTPUTS, foreign, is_entry

GONE = ".gone-"


def remove(kept: Kept) -> None:
    """Rename the entry, which hides it atomically, then delete it.

    Raises:
        CondenserError: a run uses or computes it, it is no entry or holds foreign files, or the
            store is not writable.
    """
    if not is_entry(kept.folder):
        raise CondenserError(f"{kept.name}: it is no entry any more; nothing of it was removed")
    if others := foreign(kept.folder):
        raise CondenserError(
            f"{kept.name}: {', '.join(others[:3])} is not of the store; move it away first"
        )
    _check_free(kept.folder)
    file = kept.folder / (OUTPUTS if kept.stage == "outputs" else RECORD)
    gone = kept.folder.with_name(f"{GONE}{kept.name}-{os.getpid()}")
    with in_words(kept.folder.parent):
        held = alone(file) if file.is_file() else None
        if held is None and file.is_file():
            raise CondenserError(f"{kept.name}: a run works with it; nothing of it was removed")
        try:
            os.replace(kept.folder, gone)
        finally:
            if held is not None:
                held.close()
        shutil.rmtree(gone)


def sweep(path: Path) -> bool:
    """Delete a leftover unless a process is writing it; returns whether it is gone."""
    left = LEFT.fullmatch(path.name)
    if left is None:
        return False
    if left["name"]:
        try:
            _check_free(path.with_name(left["name"]))
        except CondenserError:
            return False
    with in_words(path.parent):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    return True


def _check_free(folder: Path) -> None:
    """CondenserError while a process is computing this entry."""
    lock = folder.with_name(f"{folder.name}.lock")
    if not lock.exists():
        return  # held by the process that computes the entry
    with in_words(folder.parent):
        try:
            with FileLock(lock, timeout=0):
                return
        except Timeout as error:
            raise CondenserError(f"{folder.name}: a run is making it just now") from error
