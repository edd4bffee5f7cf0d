"""One-line errors for a store that cannot be written: which, why and what to do."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from condenser.errors import CondenserError
from condenser.runs import disk

LITTLE = 1 << 16  # bytes free, below which a disk counts as full


@contextmanager
def in_words(root: Path) -> Iterator[None]:
    """Turn errors of a full disk or a read-only store into a CondenserError."""
    try:
        yield
    except CondenserError:
        raise
    except Exception as error:
        if full(error, root):
            raise CondenserError(
                f"{root}: the disk is full; what was finished is kept, and the same command goes "
                "on. Make room (python src/store.py ls), or name a place with store=FOLDER"
            ) from error
        if closed(error, root):
            raise CondenserError(
                f"{root} cannot be written ({os.strerror(error.errno).lower()}): "  # type: ignore[attr-defined]
                "name a place of your own with store=FOLDER"
            ) from error
        raise


def full(error: Exception, root: Path) -> bool:
    """Whether the disk is full, by error code or free space."""
    if disk.full(error):
        return True
    said = disk.torn(error) or "writ" in str(error)
    wrote = said and isinstance(error, OSError | RuntimeError)
    return wrote and root.is_dir() and shutil.disk_usage(root).free < LITTLE


def closed(error: Exception, root: Path) -> bool:
    """Whether it is the store itself that is not writable, rather than another file."""
    if not isinstance(error, OSError) or error.errno not in disk.CLOSED or error.filename is None:
        return False
    file = Path(os.fsdecode(error.filename)).absolute()
    return root.absolute() in (file, *file.parents) or file in root.absolute().parents


def writable(root: Path) -> bool:
    """Whether entries can be created in the folder, or the folder itself if missing."""
    there = next(place for place in (root.absolute(), *root.absolute().parents) if place.exists())
    return os.access(there, os.W_OK | os.X_OK)
