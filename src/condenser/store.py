"""Results of stages, kept by content key and reused."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from condenser import records
from condenser.errors import ConfigError
from condenser.files import read_json

if TYPE_CHECKING:
    from torch import nn

    from condenser.blueprint import Blueprint

FACTS = "record.json"


@dataclass(frozen=True)
class Entry:
    """A stage's result on disk: model.json, weights.safetensors, record.json, maybe more files."""

    folder: Path
    key: str

    @property
    def facts(self) -> dict[str, Any]:
        """What was measured when the entry was made."""
        return read_json(self.folder / FACTS)

    def load(self, trusted: tuple[str, ...] = ()) -> tuple[Blueprint, nn.Module]:
        """The network, bit for bit; DamagedError if its files are not those that were written."""
        from condenser.blueprint import load

        return load(self.folder, trusted)

    def file(self, name: str) -> Path:
        return self.folder / name


@dataclass(frozen=True)
class Place:
    """Where a stage that is being made works.

    Attributes:
        folder: what is in it when the stage ends becomes the entry.
        checkpoint: a file that outlives a kill, for the next who makes the same entry.
        shelf: a folder for what other stages can use, too, named by what is in it.
    """

    folder: Path
    checkpoint: Path
    shelf: Path


def model_folder(key: str, path: Path) -> Path:
    """The folder with the model.json that ``path`` means: itself, or of a run its last model.

    Raises:
        ConfigError: there is none; ``key`` is the setting that named the path.
    """
    if (path / "model.json").is_file():
        return path
    file = path / records.FILE
    if not file.is_file():
        raise ConfigError(key, path, "a folder with a model.json, or the folder of a run")
    last = records.final(records.read([file]))
    for root in (path.parents[1], path.parent, Path("runs")):
        folder = root / ".store" / f"{last['stage']}-{last['key']}"
        if (folder / "model.json").is_file():
            return folder
    raise ConfigError(key, path, "a run whose models are still in the store beside it")


def key_of(ingredients: Mapping[str, Any]) -> str:
    """64 bits of the sha256 of everything that determines a result, as 16 hex digits."""
    text = json.dumps(ingredients, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


class Store:
    """A folder of entries. An entry appears whole or not at all."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def get(self, stage: str, key: str) -> Entry | None:
        folder = self.root / f"{stage}-{key}"
        return Entry(folder, key) if (folder / FACTS).is_file() else None

    def get_or_make(
        self, stage: str, key: str, make: Callable[[Place], Mapping[str, Any]]
    ) -> tuple[Entry, bool]:
        """The entry, and whether it was there already.

        ``make`` fills a place's folder and returns the facts. While one process makes an entry,
        others that want it wait.
        """
        from filelock import FileLock

        if entry := self.get(stage, key):
            return entry, True
        self.root.mkdir(parents=True, exist_ok=True)
        with FileLock(self.root / f"{stage}-{key}.lock"):
            if entry := self.get(stage, key):
                return entry, True
            return self._make(stage, key, make), False

    def _make(self, stage: str, key: str, make: Callable[[Place], Mapping[str, Any]]) -> Entry:
        folder = self.root / f"{stage}-{key}"
        shutil.rmtree(folder, ignore_errors=True)  # an entry without facts is no entry
        checkpoint = self.root / f".{folder.name}.ckpt"
        draft = self.root / f".{folder.name}"
        shutil.rmtree(draft, ignore_errors=True)  # left by a process that was killed
        draft.mkdir()
        try:
            facts = make(Place(draft, checkpoint, self.root))
            (draft / FACTS).write_text(json.dumps(facts, indent=1) + "\n")
            os.replace(draft, folder)
            checkpoint.unlink(missing_ok=True)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
        return Entry(folder, key)
