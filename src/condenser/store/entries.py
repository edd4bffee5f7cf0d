"""An entry: the folder that holds what one stage made."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from condenser import records
from condenser.errors import ConfigError
from condenser.files import read_json
from condenser.store import sums

if TYPE_CHECKING:
    from torch import nn

    from condenser.blueprint import Blueprint

FACTS, INGREDIENTS, MODEL = "record.json", "ingredients.json", "model.json"


@dataclass(frozen=True)
class Entry:
    """A stage's result on disk: model.json, weights.safetensors, record.json, maybe more files.

    ``ingredients.json`` is what its key is the hash of, ``SHA256SUMS`` what every file was when it
    was written; entries made before there were these lack them.
    """

    folder: Path
    key: str

    @property
    def facts(self) -> dict[str, Any]:
        """What was measured when the entry was made."""
        return read_json(self.folder / FACTS)

    def load(self, trusted: tuple[str, ...] = ()) -> tuple[Blueprint, nn.Module]:
        """The network, bit for bit; DamagedError if its files are not those that were written."""
        from condenser.blueprint import load

        sums.check(self.folder, MODEL)
        return load(self.folder, trusted)

    def file(self, name: str) -> Path:
        return self.folder / name


def model_folder(key: str, path: Path) -> Path:
    """The folder with the model.json that ``path`` means: itself, or of a run its last model.

    Raises:
        ConfigError: there is none; ``key`` is the setting that named the path.
    """
    if (path / MODEL).is_file():
        return path
    file = path / records.FILE
    if not file.is_file():
        raise ConfigError(key, path, "a folder with a model.json, or the folder of a run")
    last = records.final(records.read([file]))
    for root in (path.parents[1], path.parent, Path("runs")):
        folder = root / ".store" / f"{last['stage']}-{last['key']}"
        if (folder / MODEL).is_file():
            return folder
    raise ConfigError(key, path, "a run whose models are still in the store beside it")


def key_of(ingredients: Mapping[str, Any]) -> str:
    """64 bits of the sha256 of everything that determines a result, as 16 hex digits."""
    return hashlib.sha256(canonical(ingredients).encode()).hexdigest()[:16]


def canonical(ingredients: Mapping[str, Any]) -> str:
    """The one text that the same ingredients always are."""
    return json.dumps(ingredients, sort_keys=True, default=str)
