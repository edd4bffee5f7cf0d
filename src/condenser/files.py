"""Files that are what was written, or an error that names them."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from condenser.errors import DamagedError


def damaged(path: Path) -> DamagedError:
    """What to say of a file whose bytes are not those that were written, or not to be had."""
    if path.exists() and not os.access(path, os.R_OK):
        return DamagedError(
            f"{path} cannot be read: it belongs to {path.owner()}; ask for the right"
        )
    return DamagedError(f"{path} is damaged; delete the folder {path.parent} to have it made again")


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file, or DamagedError."""
    try:
        data = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise damaged(path) from error
    if not isinstance(data, dict):
        raise damaged(path)
    return data


def write_json(path: Path, data: Mapping[str, Any]) -> None:
    """Replace the file by this JSON object, whole or not at all."""
    write_whole(path, json.dumps(data, indent=1, ensure_ascii=False) + "\n")


def write_whole(path: Path, text: str) -> None:
    """Replace the file by this text, whole or not at all, also where the machine stops.

    It is forced to disk under another name, which then takes the file's place: whoever reads, and
    whoever comes after a crash, finds the old text or the new one.
    """
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with draft.open("w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)


def force(path: Path) -> None:
    """Nothing of a file, or of the names in a folder, is left in memory only."""
    if os.name == "posix":
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except PermissionError as error:
        raise damaged(path) from error
