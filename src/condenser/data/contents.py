"""Decode image files once and cache the result until a file changes."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

from condenser.data.decode import decode
from condenser.errors import DamagedError
from condenser.files import read_json, sha256, write_whole

FORMAT = 1  # of the cache format and of what ``decode`` accepts
FRESH = 2.0  # seconds; a younger file may change again without a new modification time
State = list[int]  # size, mtime, ctime, inode


class Picture(NamedTuple):
    """A decodable image file: sha256 of its bytes, size in pixels."""

    sha256: str
    width: int
    height: int


def examine(
    root: Path, paths: Iterable[str], workers: int = 1
) -> tuple[dict[str, Picture], dict[str, str]]:
    """Decode every file: path → contents, and path → why it cannot be used.

    What was found of a file is kept in the user's cache folder (``CONDENSER_CACHE``, else
    ``XDG_CACHE_HOME/condenser``, else ``~/.cache/condenser``), by path, size, times and inode. If
    that is damaged or cannot be written, the files are decoded again.
    """
    memory = cache_file(root)
    known = recall(memory)
    with ThreadPoolExecutor(max(1, workers)) as pool:
        ordered = list(paths)
        answers = pool.map(partial(look, root, known), ordered)
        found = dict(zip(ordered, answers, strict=True))
    good = {path: answer[1] for path, answer in found.items() if isinstance(answer[1], Picture)}
    bad = {path: answer[1] for path, answer in found.items() if isinstance(answer[1], str)}
    young = time.time() - FRESH
    rows = {
        path: [*state, *picture]
        for path, (state, picture) in found.items()
        if isinstance(picture, Picture) and max(state[1:3]) < young * 1e9
    }
    if rows != known:
        remember(memory, rows)
    return good, bad


def look(root: Path, known: dict[str, list[Any]], path: str) -> tuple[State, Picture | str]:
    """The file's stat, and its contents or why it cannot be used."""
    file = root / path
    try:
        state = state_of(file)
        if (row := known.get(path)) is not None and row[:4] == state:
            return state, Picture(*row[4:])
        image = decode(file, "RGB")
        return state, Picture(sha256(file), image.width, image.height)
    except DamagedError as error:
        return [], str(error)
    except OSError as error:
        return [], error.strerror or type(error).__name__


def state_of(file: Path) -> State:
    found = file.stat()
    return [found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino]


def cache_file(root: Path) -> Path:
    """The cache file of a folder."""
    name = hashlib.sha256(os.fsencode(root.resolve())).hexdigest()[:16]
    return cache_folder() / f"{name}.json"


def cache_folder() -> Path:
    """Where what is known of image files is kept."""
    given = os.environ.get("CONDENSER_CACHE")
    shared = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(given or Path(shared) / "condenser") / "images"


def recall(memory: Path) -> dict[str, list[Any]]:
    """The cached rows; none if they are damaged or from other decoders."""
    try:
        found = read_json(memory)
    except DamagedError:
        return {}
    rows = found.get("files")
    return rows if isinstance(rows, dict) and found == stamped(rows) else {}


def remember(memory: Path, rows: dict[str, list[Any]]) -> None:
    with suppress(OSError):
        memory.parent.mkdir(parents=True, exist_ok=True)
        write_whole(memory, json.dumps(stamped(rows)))


def stamped(rows: dict[str, list[Any]]) -> dict[str, Any]:
    text = json.dumps(rows)
    check = hashlib.sha256(text.encode()).hexdigest()
    return {"format": FORMAT, "pillow": metadata.version("pillow"), "check": check, "files": rows}
