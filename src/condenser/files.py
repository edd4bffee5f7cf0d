"""Atomic writes and checked reads: a file is what was written, or an error names it."""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import stat
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from io import BufferedReader
from pathlib import Path
from typing import Any

from condenser.errors import DamagedError

_PACKAGE = Path(__file__).resolve().parent
# the shipped configs: inside the installed package, or in the clone
CONF = next(p for p in (_PACKAGE / "conf", _PACKAGE.parents[1] / "conf") if p.is_dir())
MOST = 1 << 28  # bytes of a text that is read as a whole
# numbers that 64 bits may not hold; a text, as a key is, begins with a quote
LONG = re.compile(rb"(?:^|[:\[,])\s*-?(?:\d{19}|\d[\d.]*[eE]\+?\d{3})")
SETTLED = 2 * 10**9  # nanoseconds
_hashed: dict[tuple[str, int, int, int], str] = {}


def damaged(path: Path) -> DamagedError:
    """The error for a file that is corrupt or cannot be read."""
    if path.exists() and not os.access(path, os.R_OK):
        return DamagedError(
            f"{path} cannot be read: it belongs to {path.owner()}; ask for the right"
        )
    return DamagedError(f"{path} is damaged; delete the folder {path.parent} to have it made again")


@contextmanager
def reading(path: Path) -> Iterator[BufferedReader]:
    """A regular file, open for reading; never blocks on a pipe or device.

    Raises:
        DamagedError: it is a folder, a pipe or a device.
        OSError: it does not exist or cannot be read.
    """
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise DamagedError(f"{path} is no regular file")
        with open(handle, "rb", closefd=False) as file:
            yield file
    finally:
        os.close(handle)


def read_bytes(path: Path, most: int = MOST) -> bytes:
    """The contents of a regular file.

    Raises:
        DamagedError: it is no regular file (:func:`reading`), or larger than ``most`` bytes.
        OSError: it does not exist or cannot be read.
    """
    with reading(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > most:
            raise DamagedError(f"{path} is larger than {most:,} bytes: it is no file of ours")
        return file.read(size or most)  # as many bytes are allocated; of /proc no size is known


def read_json(path: Path, most: int = MOST) -> dict[str, Any]:
    """A JSON object from a file, or DamagedError."""
    try:
        data = loads(read_bytes(path, most))
    except (OSError, ValueError) as error:
        raise damaged(path) from error
    if not isinstance(data, dict):
        raise damaged(path)
    return data


def loads(text: bytes) -> Any:
    """Parse strict JSON: only what every parser reads the same way.

    Raises:
        ValueError: no JSON in UTF-8; NaN, an infinity, an integer of more than 64 bits, half a
            character, a duplicate key, or too many nested levels.
    """
    try:
        found = (BOUNDED if LONG.search(text) else DECODER).decode(text.decode())
    except json.JSONDecodeError as error:
        raise ValueError(f"no JSON ({error.msg}, character {error.pos + 1})") from error
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    if rb"\ud" in text.lower():  # a lone surrogate is no character and cannot be written back
        json.dumps(found, ensure_ascii=False).encode()
    return found


def _finite(text: str) -> float:
    if abs(value := float(text)) < float("inf"):
        return value
    raise ValueError(f"{text}: no finite number")


def _of_64_bits(text: str) -> int:
    if len(text) <= 20 and abs(value := int(text)) < 1 << 64:
        return value
    raise ValueError("an integer of more than 64 bits")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(found := dict(pairs)) == len(pairs):
        return found
    twice = next(key for place, (key, _) in enumerate(pairs) if key in dict(pairs[:place]))
    raise ValueError(f"{twice} is there twice")


DECODER = json.JSONDecoder(parse_constant=_finite, object_pairs_hook=_once)
BOUNDED = json.JSONDecoder(
    parse_constant=_finite, parse_float=_finite, parse_int=_of_64_bits, object_pairs_hook=_once
)


def write_json(path: Path, data: Mapping[str, Any]) -> None:
    """Atomically replace the file by this JSON object."""
    write_whole(path, json.dumps(data, indent=1, ensure_ascii=False) + "\n")


def write_whole(path: Path, content: str | bytes) -> None:
    """Atomically replace the file by this content, text as UTF-8."""
    write_files({path: content})


def write_files(files: Mapping[Path, str | bytes]) -> None:
    """Replace the files by these contents, all or none, in this order."""
    with drafts(*files) as hidden:
        for draft, content in zip(hidden, files.values(), strict=True):
            draft.write_bytes(content.encode() if isinstance(content, str) else content)


@contextmanager
def drafts(*paths: Path) -> Iterator[list[Path]]:
    """A temporary file beside each path, for the body to write; missing folders are created.

    When the body ends, all of them are synced to disk and then renamed to their paths, in this
    order: readers, also after a crash, find the old file or the new one. On failure no path has
    changed, nothing is left over, and an OSError names the path. Anything but a regular file, such
    as /dev/stdout, is written directly.
    """
    pairs = [(draft_of(path), path) for path in paths]
    try:
        for path in paths:
            path.parent.mkdir(parents=True, exist_ok=True)
        yield [draft for draft, _ in pairs]
        for draft, path in pairs:
            if draft != path:
                force(draft)
        for draft, path in pairs:
            os.replace(draft, path)
    except OSError as error:
        real = {str(draft): str(path) for draft, path in pairs}
        known = None if error.filename is None else os.fsdecode(error.filename)
        where = real.get(known, known) if known else str(paths[-1])
        raise OSError(error.errno, error.strerror or str(error), where) from error
    finally:
        for draft, path in pairs:
            if draft != path:
                with suppress(OSError):
                    draft.unlink()


def draft_of(path: Path) -> Path:
    if path.exists() and not (path.is_file() or path.is_dir()):
        return path
    return path.with_name(f".{path.name[:200]}.{secrets.token_hex(4)}")


def put_aside(path: Path) -> Path:
    """Rename a corrupt file or folder out of the way. Returns the new name."""
    aside = path.with_name(f".damaged-{path.name.lstrip('.')}-{secrets.token_hex(4)}")
    os.replace(path, aside)
    force(path.parent)
    return aside


def force(path: Path) -> None:
    """fsync a file, or a folder's entries."""
    if os.name == "posix":
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def sha256_once(path: Path) -> str:
    """sha256 of the file, cached per process by size, time and inode.

    A file younger than the coarsest file-system clock is always read again: it could change
    without its time changing.
    """
    now = path.stat()
    sign = (str(path.absolute()), now.st_size, now.st_mtime_ns, now.st_ino)
    if sign not in _hashed:
        found = sha256(path)
        if time.time_ns() - now.st_mtime_ns < SETTLED:
            return found
        _hashed[sign] = found
    return _hashed[sign]


def sha256(path: Path) -> str:
    try:
        with reading(path) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except PermissionError as error:
        raise damaged(path) from error
