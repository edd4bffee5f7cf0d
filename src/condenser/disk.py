"""How a full or closed disk shows in an exception."""

from __future__ import annotations

import errno
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
