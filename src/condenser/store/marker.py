"""Recognise a store and its own files, by a marker, names and content."""

from __future__ import annotations

import os
import re
from pathlib import Path

from condenser.errors import CondenserError, ConfigError, DamagedError
from condenser.files import read_bytes, write_whole
from condenser.store import checksums
from condenser.store.entries import INGREDIENTS, MODEL, RECORD, WEIGHTS

MARKER = ".condenser-store"
TRIED = ".tried"  # networks that were tried, see condenser.pipeline.tryout
TEXT = "Condenser keeps results of stages in this folder; python src/store.py --help\n"
OUTPUTS = "manifest.json"  # in the folder of a teacher cache, which is no stage result
OWN = (RECORD, INGREDIENTS, MODEL, WEIGHTS, "test_logits.safetensors", checksums.FILE)
NAME = r"[A-Za-z]\w*-[0-9a-f]{16}"
ENTRY, LOCK = re.compile(NAME), re.compile(rf"{NAME}\.lock|search-\w+\.journal\S*")
LEFT = re.compile(
    rf"\.(?P<name>{NAME})(\.draft|\.ckpt(\.\d+)?)?"  # suffix of an entry in the making
    rf"|\.gone-{NAME}-\d+|\.damaged-{NAME}(\.ckpt)?-[0-9a-f]{{8}}"
)


def marked(root: Path) -> bool:
    try:
        return read_bytes(root / MARKER) == TEXT.encode()
    except (OSError, DamagedError):
        return False


def claim(root: Path, usual: bool = False) -> None:
    """Mark the folder as a store; ``usual``: it is the default location of a run.

    Raises:
        ConfigError: the folder holds other files.
    """
    if marked(root):
        return
    if not usual:
        check(root)
    write_whole(root / MARKER, TEXT)


def check(root: Path) -> None:
    """ConfigError for a folder of other files, which cannot become a store."""
    if root.is_dir() and not marked(root) and (others := strangers(root)):
        hint = f"{', '.join(others[:3])} is no part of a store"
        raise ConfigError("store", root, "a store, or a new or empty folder", hint)


def strangers(root: Path) -> list[str]:
    """Visible files that are not the store's; all files if there is no entry."""
    inside = sorted(root.iterdir())
    hidden = not any(map(is_entry, inside))
    seen = [path for path in inside if hidden or not path.name.startswith(".")]
    return [path.name for path in seen if not (is_entry(path) or is_ours(path.name))]


def is_ours(name: str) -> bool:
    """Whether it is a name that a store uses for something other than entries."""
    mark = name in (MARKER, TRIED) or name.startswith(f".{MARKER}.")
    return mark or bool(LOCK.fullmatch(name) or LEFT.fullmatch(name))


def is_entry(path: Path) -> bool:
    """Whether it is an entry or a teacher cache, by name and content."""
    if not ENTRY.fullmatch(path.name) or path.is_symlink() or not path.is_dir():
        return False
    if path.name.startswith("outputs-"):
        return plain(path / OUTPUTS) and any(map(plain, path.glob("*.npy")))
    with os.scandir(path) as inside:  # two of them: either may be the damaged one
        return sum(i.name in OWN and i.is_file(follow_symlinks=False) for i in inside) >= 2


def plain(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()


def foreign(entry: Path) -> list[str]:
    """Files in an entry that are not the store's."""
    try:
        known = {*OWN, *(checksums.read(entry) or ())}
    except CondenserError:
        known = {*OWN}
    outputs = entry.name.startswith("outputs-")
    kinds = (OUTPUTS, ".npy") if outputs else (".onnx", ".xml", ".bin", ".pte")
    with os.scandir(entry) as inside:
        return sorted(
            item.name
            for item in inside
            if item.name not in known
            and not (item.is_file(follow_symlinks=False) and item.name.endswith(kinds))
        )
