"""Checksums of an entry's files, in the form that ``sha256sum -c SHA256SUMS`` reads."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from condenser.errors import DamagedError
from condenser.files import damaged, force, sha256

FILE = "SHA256SUMS"


def files(folder: Path) -> Iterator[str]:
    """The names of all files below the folder but the checksums themselves, in order."""
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and name != FILE:
            yield name


def write(folder: Path) -> None:
    """Write the checksums of what is in the folder, last and whole, and force all of it to disk."""
    names = list(files(folder))
    draft = folder / f".{FILE}"
    text = "".join(f"{sha256(folder / name)}  {name}\n" for name in names)
    draft.write_text(text, encoding="utf-8")
    for name in (*names, draft.name):
        force(folder / name)
    os.replace(draft, folder / FILE)
    force(folder)


def read(folder: Path) -> dict[str, str] | None:
    """Name → sha256 of each file when it was written; None of an entry without checksums.

    Raises:
        DamagedError: no line, or one that is no checksum.
    """
    file = folder / FILE
    if not file.is_file():
        return None
    lines = [
        line.split("  ", 1)
        for line in file.read_text(encoding="utf-8", errors="replace").splitlines()
    ]
    if not lines or any(len(line) != 2 or len(line[0]) != 64 for line in lines):
        raise damaged(file)
    return {name: digest for digest, name in lines}


def check(folder: Path, name: str) -> None:
    """DamagedError if this file is not the one that was written; nothing without checksums."""
    known = read(folder)
    if known is not None and (name not in known or problem(folder, name, known[name])):
        raise damaged(folder / name)


def problems(folder: Path) -> list[str]:
    """``weights.safetensors altered``, ``record.json missing``, ``x unknown``: none if intact.

    Raises:
        DamagedError: there are no checksums, or they are damaged themselves.
    """
    known = read(folder)
    if known is None:
        raise DamagedError(f"{folder} has no {FILE}")
    wrong = {name: problem(folder, name, expected) for name, expected in known.items()}
    wrong |= {name: "unknown" for name in files(folder) if name not in known}
    return [f"{name} {what}" for name, what in wrong.items() if what]


def problem(folder: Path, name: str, expected: str) -> str:
    """What is wrong with one file; nothing if it is the one that was written."""
    path = folder / name
    if not path.is_file():
        return "missing"
    return "" if sha256(path) == expected else "altered"
