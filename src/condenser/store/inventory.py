"""What a store keeps, for which runs, and how large it is. Reads only; nothing is locked."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from condenser import records
from condenser.errors import CondenserError, DamagedError, nearest
from condenser.files import read_json
from condenser.store import sums
from condenser.store.entries import FACTS, INGREDIENTS, MODEL

TAUGHT = "manifest.json"  # in a folder with a teacher's outputs, which is no stage's result
SHORTEST = 4  # letters of a key that name it


@dataclass
class Use:
    """What the records of runs say of a key: the runs that name it, and its own record."""

    runs: dict[str, None] = field(default_factory=dict)
    record: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Kept:
    """An entry of the store, or a teacher's outputs, as a person sees it.

    Attributes:
        runs: ``experiment/run`` of each whose records name it as theirs, a parent's or a teacher's.
    """

    folder: Path
    stage: str
    key: str
    bytes: int
    use: Use

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def runs(self) -> tuple[str, ...]:
        return tuple(self.use.runs)

    @cached_property
    def facts(self) -> Mapping[str, Any]:
        """Its measured facts; none where they cannot be read."""
        try:
            return read_json(self.folder / FACTS)
        except DamagedError:
            return {}

    @cached_property
    def ingredients(self) -> Mapping[str, Any]:
        """What its key is the hash of; nothing of entries made before that was kept."""
        if not (self.folder / INGREDIENTS).is_file():
            return {}
        return read_json(self.folder / INGREDIENTS)

    @property
    def model(self) -> str:
        """The network as a run calls it, else the class it was built from."""
        if self.use.record is not None:
            return str(self.use.record["model"])
        try:
            architecture = read_json(self.folder / MODEL)["architecture"]
            return str(architecture["_target_"]).rpartition(".")[2]
        except (DamagedError, KeyError, TypeError):
            return ""

    @property
    def made(self) -> str:
        """When, in ISO 8601."""
        return str(self.facts.get("date") or "")

    @property
    def lineage(self) -> dict[str, list[str]]:
        """``parent`` and ``teacher`` → keys."""
        known = self.ingredients or self.use.record or {}
        return {role: str(known.get(role) or "").split("+") for role in ("parent", "teacher")}

    @property
    def lacks(self) -> list[str]:
        """Files that are not there, seen without reading them: what ``verify`` would say first."""
        if self.stage == "taught":
            return []
        try:
            known = sums.read(self.folder) or dict.fromkeys((MODEL, "weights.safetensors"), "")
        except DamagedError:
            return [sums.FILE]
        return [name for name in (FACTS, *known) if not (self.folder / name).is_file()]


def inventory(store: Path, runs: Iterable[Path]) -> list[Kept]:
    """All entries of a store, the oldest first.

    Raises:
        CondenserError: there is no such folder.
    """
    if not store.is_dir():
        raise CondenserError(f"{store}: no store there; name one with --store")
    uses, found = users(runs), []
    for folder in sorted(path for path in store.iterdir() if not path.name.startswith(".")):
        stage, dash, key = folder.name.rpartition("-")
        if dash and folder.is_dir():
            found.append(Kept(folder, stage, key, size(folder), uses.get(key, Use())))
    return sorted(found, key=lambda kept: (kept.made, kept.name))


def users(runs: Iterable[Path]) -> dict[str, Use]:
    """Key → the runs below these folders that name it."""
    uses: dict[str, Use] = {}
    for record in read(runs):
        run = f"{record['experiment']}/{record['run']}"
        teachers = str(record["teacher"] or "").split("+")
        for key in (record["key"], record["parent"], *teachers):
            if key:
                uses.setdefault(str(key), Use()).runs[run] = None
        if record["key"]:
            uses[str(record["key"])].record = record
    return uses


def read(runs: Iterable[Path]) -> list[records.Record]:
    """The records below the folders; none of a folder without."""
    found: list[records.Record] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", records.RecordWarning)
        for folder in runs:
            if folder.is_dir():
                try:
                    found += records.read([folder])
                except CondenserError:  # no record in it yet
                    continue
    return found


def find(kept: Sequence[Kept], word: str) -> Kept:
    """The entry that a key, its beginning or ``stage-key`` names.

    Raises:
        CondenserError: it names none, or several.
    """
    stage, _, key = word.rpartition("-")
    long = len(key) >= SHORTEST
    fits = [k for k in kept if long and k.key.startswith(key) and stage in ("", k.stage)]
    if len(fits) == 1:
        return fits[0]
    if fits:
        some = ", ".join(k.name for k in fits[:5])
        more = f" and {len(fits) - 5} more" if len(fits) > 5 else ""
        raise CondenserError(f"{word} names {len(fits)} entries: {some}{more}; give more letters")
    if not long:
        raise CondenserError(f"{word}: must be a key, or its first {SHORTEST} letters or more")
    hint = nearest(word, [k.name for k in kept] + [k.key for k in kept])
    raise CondenserError(f"{word}: no such key in the store" + (f"; {hint}" if hint else ""))


def leftovers(store: Path) -> list[Path]:
    """What runs that were killed have left: drafts, checkpoints, halves of what was removed."""
    return sorted(path for path in store.iterdir() if path.name.startswith("."))


def size(path: Path) -> int:
    """Bytes of a file, or of all files below a folder."""
    if path.is_file():
        return path.stat().st_size
    with os.scandir(path) as inside:
        return sum(
            size(Path(item.path)) if item.is_dir() else item.stat().st_size for item in inside
        )
