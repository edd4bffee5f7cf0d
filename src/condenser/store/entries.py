"""A store entry: the folder with one stage's result."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from condenser.errors import ConfigError, DamagedError
from condenser.files import read_json
from condenser.runs import records
from condenser.store import checksums

if TYPE_CHECKING:
    from torch import nn

    from condenser.checkpoint.model_spec import ModelSpec

RECORD, INGREDIENTS, MODEL = "record.json", "ingredients.json", "model.json"
WEIGHTS = "weights.safetensors"


@dataclass(frozen=True)
class Entry:
    """A stage's result on disk: model.json, weights.safetensors, record.json, maybe more files.

    Its key is the hash of ``ingredients.json``; ``SHA256SUMS`` has a checksum per file, which is
    verified before reading: DamagedError.
    """

    folder: Path
    key: str

    @property
    def metrics(self) -> dict[str, Any]:
        """The metrics measured when the entry was computed."""
        return read_json(self.file(RECORD))

    def load(self, trusted: tuple[str, ...] = ()) -> tuple[ModelSpec, nn.Module]:
        """The network, bit for bit."""
        return load(self.folder, trusted)

    def file(self, name: str) -> Path:
        return checked(self.folder, name)


def checked(folder: Path, name: str) -> Path:
    """A file of an entry; DamagedError unless intact."""
    if wrong := checksums.wrong(folder, [name]):
        raise unfit(folder, wrong)
    return folder / name


def load(folder: Path, trusted: tuple[str, ...] = ()) -> tuple[ModelSpec, nn.Module]:
    """The network of an entry, or of a bare model folder, verified by the hash in model.json.

    Raises:
        DamagedError: a file is damaged, or an entry has no checksums.
    """
    from condenser.checkpoint import model_spec

    if any((folder / name).exists() for name in (RECORD, checksums.FILE)):
        for name in (MODEL, WEIGHTS):
            checked(folder, name)
    return model_spec.load(folder, trusted)


def flaws(folder: Path) -> list[str]:
    """Damage of an entry, by file; empty if intact."""
    found = checksums.wrong(folder) or checksums.wrong(folder, [RECORD])
    file = folder / INGREDIENTS
    if not found and file.is_file():
        key = digest(file.read_text(encoding="utf-8").rstrip("\n"))
        if key != folder.name.rpartition("-")[2]:
            found = [f"its name is not the key of what it was made of ({key})"]
    return found


def unfit(folder: Path, wrong: Sequence[str], remedy: str = "") -> DamagedError:
    """The error for a damaged entry."""
    remedy = remedy or "the next run that wants it makes it anew"
    return DamagedError(f"{folder}: {', '.join(wrong)}; {remedy}")


def model_folder(key: str, path: Path) -> Path:
    """The folder with the model.json of ``path``: itself, or the last model of a run folder.

    Raises:
        ConfigError: there is none; ``key`` is the setting that named the path.
    """
    if (path / MODEL).is_file():
        return path
    file = path / records.FILE
    if not file.is_file():
        weights = "or a file of weights (.safetensors, .pt, .pth)"
        allowed = f"a folder with a model.json, the folder of a run, {weights}"
        raise ConfigError(key, path, allowed)
    last = records.final(records.read([file]))
    for root in (path.parents[1], path.parent, Path("runs")):
        folder = root / ".store" / f"{last['stage']}-{last['key']}"
        if (folder / MODEL).is_file():
            return folder
    raise ConfigError(key, path, "a run whose models are still in the store beside it")


def key_of(ingredients: Mapping[str, Any]) -> str:
    """64 bits of the sha256 of everything that determines a result, as 16 hex digits."""
    return digest(canonical(ingredients))


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def canonical(ingredients: Mapping[str, Any]) -> str:
    """Canonical JSON of the ingredients."""
    return json.dumps(ingredients, sort_keys=True, default=str)
