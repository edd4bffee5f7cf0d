"""Checksums of an entry's files, in the form that ``sha256sum -c SHA256SUMS`` reads."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from condenser.errors import DamagedError
from condenser.files import damaged, force, read_bytes, sha256, sha256_once

FILE = "SHA256SUMS"


def files(folder: Path) -> Iterator[str]:
    """All files below the folder except the checksums, sorted."""
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and name != FILE:
            yield name


def write(folder: Path) -> None:
    """Write the folder's checksums last and atomically, and sync everything to disk."""
    names = list(files(folder))
    draft = folder / f".{FILE}"
    text = "".join(f"{sha256(folder / name)}  {name}\n" for name in names)
    draft.write_text(text, encoding="utf-8")
    for name in (*names, draft.name):
        force(folder / name)
    os.replace(draft, folder / FILE)
    force(folder)


def read(folder: Path) -> dict[str, str] | None:
    """Name → sha256 of each file when written; None for a folder without checksums.

    Raises:
        DamagedError: no lines, or an invalid one.
    """
    file = folder / FILE
    try:
        text = read_bytes(file).decode(errors="replace")
    except FileNotFoundError:
        return None
    lines = [line.split("  ", 1) for line in text.splitlines()]
    if not lines or any(len(line) != 2 or len(line[0]) != 64 for line in lines):
        raise damaged(file)
    return {name: digest for digest, name in lines}


def wrong(folder: Path, names: Iterable[str] = ()) -> list[str]:
    """Damage such as ``weights.safetensors altered`` or ``record.json missing``, of these files or
    of all; empty if intact.

    Raises:
        DamagedError: a file cannot be read.
    """
    try:
        known = read(folder)
    except DamagedError:
        return [f"{FILE} altered"]
    if known is None:
        return [f"{FILE} missing"]
    asked = [*names] or [*known]
    found = {name: problem(folder, name, known.get(name)) for name in asked}
    return [f"{name} {what}" for name, what in found.items() if what]


def unknown(folder: Path) -> list[str]:
    """``x unknown``: files that are not in the checksums."""
    known = read(folder) or {}
    return [f"{name} unknown" for name in files(folder) if name not in known]


def problem(folder: Path, name: str, expected: str | None) -> str:
    """What is wrong with one file; empty if intact."""
    path = folder / name
    if not path.is_file():
        return "missing"
    if expected is None:
        return "unknown"
    return "" if sha256_once(path) == expected else "altered"
