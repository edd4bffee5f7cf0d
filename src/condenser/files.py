"""Files that are what was written, or an error that names them."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import stat
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from condenser.errors import DamagedError

MOST = 1 << 28  # bytes of a text that is read as a whole
SETTLED = 2 * 10**9  # nanoseconds
_hashed: dict[tuple[str, int, int, int], str] = {}


def damaged(path: Path) -> DamagedError:
    """What to say of a file whose bytes are not those that were written, or not to be had."""
    if path.exists() and not os.access(path, os.R_OK):
        return DamagedError(
            f"{path} cannot be read: it belongs to {path.owner()}; ask for the right"
        )
    return DamagedError(f"{path} is damaged; delete the folder {path.parent} to have it made again")


def read_bytes(path: Path, most: int = MOST) -> bytes:
    """All of a regular file; nothing is waited for.

    Raises:
        DamagedError: it is a folder, a pipe or a device, or larger than ``most`` bytes.
        OSError: it is not there, or not to be had.
    """
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    try:
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode):
            raise DamagedError(f"{path} is no regular file")
        if found.st_size > most:
            raise DamagedError(f"{path} is larger than {most:,} bytes: it is no file of ours")
        with open(handle, "rb", closefd=False) as file:
            return file.read(most)
    finally:
        os.close(handle)


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
    """What a JSON text says, read as every reader would read it.

    Raises:
        ValueError: no JSON in UTF-8; NaN, an infinity, an integer of more than 64 bits, half a
            character, a key that comes twice, or more levels than anyone writes.
    """
    try:
        found = json.loads(
            text.decode(),
            parse_constant=_finite,
            parse_float=_finite,
            parse_int=_of_64_bits,
            object_pairs_hook=_once,
        )
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    if rb"\ud" in text.lower():  # half of a pair is no character, and cannot be written again
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


def write_json(path: Path, data: Mapping[str, Any]) -> None:
    """Replace the file by this JSON object, whole or not at all."""
    write_whole(path, json.dumps(data, indent=1, ensure_ascii=False) + "\n")


def write_whole(path: Path, content: str | bytes) -> None:
    """Replace the file by this content, text as UTF-8, whole or not at all."""
    write_files({path: content})


def write_files(files: Mapping[Path, str | bytes]) -> None:
    """Replace the files by these contents, all or none, the last one last."""
    with drafts(*files) as hidden:
        for draft, content in zip(hidden, files.values(), strict=True):
            draft.write_bytes(content.encode() if isinstance(content, str) else content)


@contextmanager
def drafts(*paths: Path) -> Iterator[list[Path]]:
    """A hidden file beside each path, for the body to write; folders are made where they lack.

    When the body ends, all of them are forced to disk and then take their paths' places, in this
    order: whoever reads, and whoever comes after a crash, finds an old file or a new one. Where
    anything fails, no path has changed, nothing is left, and an OSError names a path. What is no
    plain file, as /dev/stdout, is written itself.
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
    """Give what is damaged another name beside its own, which is free then. Returns that name."""
    aside = path.with_name(f".damaged-{path.name.lstrip('.')}-{secrets.token_hex(4)}")
    os.replace(path, aside)
    force(path.parent)
    return aside


def force(path: Path) -> None:
    """Nothing of a file, or of the names in a folder, is left in memory only."""
    if os.name == "posix":
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def sha256_once(path: Path) -> str:
    """sha256 of the file, read once a process while size, time and inode are the same.

    A file younger than the coarsest clock of a file system is read again: it could change
    without a sign.
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
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except PermissionError as error:
        raise damaged(path) from error
