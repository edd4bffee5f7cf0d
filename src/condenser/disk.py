"""How a full or closed disk shows in an exception."""

from __future__ import annotations

import errno
import os
import re

FULL = (errno.ENOSPC, errno.EDQUOT)
CLOSED = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR)
TORN = re.compile(r"inline_container|PytorchStreamWriter|unexpected pos")


def full(error: BaseException) -> bool:
    """There was no room; safetensors says so in words alone."""
    return (isinstance(error, OSError) and error.errno in FULL) or "No space left" in str(error)


def torn(error: BaseException) -> bool:
    """torch could not write a file, and does not say why: most often there was no room."""
    return TORN.search(str(error)) is not None


def said(error: BaseException) -> str | None:
    """A full or closed disk behind an exception, in a line; None: it is something else."""
    if isinstance(error, OSError) and error.errno in (*FULL, *CLOSED):
        where = f"{os.fsdecode(error.filename)}: " if error.filename else ""
        remedy = "; make room, then give the same command again" if error.errno in FULL else ""
        return f"{where}{os.strerror(error.errno)}{remedy}"
    return " ".join(str(error).split()) if full(error) else None
