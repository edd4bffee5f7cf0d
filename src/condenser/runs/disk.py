"""How a disk that is full, closed, or not as a path says shows in an exception."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from pathlib import Path

from condenser.errors import nearest

FULL = (errno.ENOSPC, errno.EDQUOT)
CLOSED = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR)
ELSEWHERE = (errno.ENOENT, errno.EISDIR, errno.ENAMETOOLONG, errno.ELOOP, errno.ENXIO)
ROOM = "make room, then give the same command again"
PLACES = "runs=FOLDER and store=FOLDER name places that can be written"
TORN = re.compile(r"inline_container|PytorchStreamWriter|unexpected pos")


def full(error: BaseException) -> bool:
    """There was no room; safetensors says so in words alone."""
    return (isinstance(error, OSError) and error.errno in FULL) or "No space left" in str(error)


def torn(error: BaseException) -> bool:
    """torch could not write a file, and does not say why: most often there was no room."""
    return TORN.search(str(error)) is not None


def said(error: BaseException) -> str | None:
    """A disk or a path that is not as it should be, in a line; None: it is something else."""
    if isinstance(error, OSError) and error.errno in (*FULL, *CLOSED, *ELSEWHERE):
        name = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else ""
        name = name if len(name) < 300 else f"{name[:300]}…"
        remedy = f"; {ROOM}" if error.errno in FULL else ""
        return f"{name}: {os.strerror(error.errno)}{remedy}".removeprefix(": ")
    return " ".join(str(error).split()) if full(error) else None


def told(error: BaseException) -> str | None:
    """The same of an exception or of what it came from, with what train.py can do about it."""
    for cause in causes(error):
        if isinstance(cause, OSError) and (line := said(cause)):
            return f"{line}; {PLACES}" if cause.errno in CLOSED else line
        if full(cause) or torn(cause):
            return f"a file could not be written: is the disk full? {ROOM}"
    return None


def causes(error: BaseException) -> Iterator[BaseException]:
    """The exception and those that it came from."""
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        seen = seen.__cause__ or seen.__context__


def missing(path: Path) -> str:
    """Name the first part of the path that is not there, and the name beside it that was meant."""
    first = path.absolute()
    while not os.path.exists(first.parent):
        first = first.parent
    return f"{path}: no such file or folder" + hint(first)


def hint(path: Path) -> str:
    """The name beside the path that is most like it, as the end of a sentence."""
    path = path.absolute()
    try:
        beside = sorted(p.name for p in path.parent.iterdir() if p.name != path.name)
    except OSError:
        return ""
    hint = nearest(path.name, [name for name in beside if not name.startswith(".")])
    return f"; {hint}" if hint else ""
