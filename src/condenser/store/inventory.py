"""Inventory of a store: entries, runs that use them, sizes. Read-only, without locks."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any

from condenser.errors import CondenserError, DamagedError, nearest
from condenser.files import loads, read_bytes
from condenser.runs import records
from condenser.store import checksums, marker
from condenser.store.entries import INGREDIENTS, MODEL, RECORD, WEIGHTS

SMALL = (RECORD, INGREDIENTS, MODEL)
SHORTEST = 4  # minimum length of a key prefix
Contents = dict[str, bytes]


@dataclass
class Use:
    """The runs whose records reference a key, and its own record: its network, its line."""

    runs: dict[str, None] = field(default_factory=dict)
    model: str | None = None
    line: bytes = b""

    @cached_property
    def record(self) -> Mapping[str, Any]:
        """Its own record; empty where no run has it."""
        return records.parsed(self.line) or {}


@dataclass(frozen=True)
class Kept:
    """An entry or teacher cache of the store, for listings.

    Attributes:
        runs: ``experiment/run`` of each run that references it as its own, a parent or a teacher.
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
    def metrics(self) -> Mapping[str, Any]:
        """Its metrics; empty if damaged."""
        return self._read(RECORD)

    @cached_property
    def ingredients(self) -> Mapping[str, Any]:
        """What its key is the hash of; empty for older entries without it."""
        return self._read(INGREDIENTS)

    @property
    def model(self) -> str:
        """The network's name in a run, else its class."""
        if self.use.model is not None:
            return self.use.model
        architecture = self._read(MODEL).get("architecture")
        named = architecture.get("_target_") if isinstance(architecture, Mapping) else None
        return str(named or "").rpartition(".")[2]

    @property
    def made(self) -> str:
        """Creation time in ISO 8601."""
        return str(self.metrics.get("date") or "")

    @property
    def lineage(self) -> dict[str, list[str]]:
        """``parent`` and ``teacher`` → keys."""
        known = self.ingredients or self.use.record
        return {role: str(known.get(role) or "").split("+") for role in ("parent", "teacher")}

    @property
    def flaws(self) -> list[str]:
        """``x missing``, ``y altered``: damage visible without reading large files."""
        if self.stage == "outputs":
            return []
        if self._known is None:
            gone = (RECORD, MODEL, WEIGHTS)
            return [f"{name} missing" for name in gone if not (self.folder / name).is_file()]
        if not self._known:
            return [f"{checksums.FILE} altered"]
        states = {name: self._state(name) for name in dict.fromkeys((RECORD, *self._known))}
        return [f"{name} {state}" for name, state in states.items() if state]

    @cached_property
    def _known(self) -> dict[str, str] | None:
        """Its checksums; none of them if these are damaged, None where it has none."""
        try:
            return checksums.read(self.folder)
        except DamagedError:
            return {}

    @cached_property
    def _contents(self) -> Contents:
        """Its small files, read once."""
        found: Contents = {}
        for name in SMALL:
            with suppress(OSError, DamagedError):
                found[name] = read_bytes(self.folder / name)
        return found

    def _state(self, name: str) -> str:
        """What is wrong with a file; of a large one only whether it is there."""
        known = self._known or {}
        if name not in self._contents:
            return "" if name not in SMALL and (self.folder / name).is_file() else "missing"
        if name not in known:
            return "unknown"
        return "altered" if sha256(self._contents[name]).hexdigest() != known[name] else ""

    def _read(self, name: str) -> Mapping[str, Any]:
        """A JSON file of the entry; empty if damaged. An entry from before checksums is trusted:
        this is for display only."""
        if name not in self._contents or (self._known is not None and self._state(name)):
            return {}
        try:
            found = loads(self._contents[name])
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}


def inventory(store: Path, runs: Iterable[Path]) -> list[Kept]:
    """All entries of a store, oldest first; other files are ignored.

    Raises:
        CondenserError: not a store, or a run folder does not exist.
    """
    folders = [*filter(marker.is_entry, store.iterdir())] if store.is_dir() else []
    if not folders and not marker.marked(store):
        raise CondenserError(f"{store}: no store there; name one with --store")
    uses, found = users(runs), []
    for folder in folders:
        stage, _, key = folder.name.rpartition("-")
        found.append(Kept(folder, stage, key, size(folder), uses.get(key, Use())))
    return sorted(found, key=lambda kept: (kept.made, kept.name))


def users(runs: Iterable[Path]) -> dict[str, Use]:
    """Key → the runs below these folders that reference it."""
    uses: dict[str, Use] = {}
    for lineage, line in records.lineages(map(existing, runs)):
        run = f"{lineage.get('experiment')}/{lineage.get('run')}"
        teachers = str(lineage.get("teacher") or "").split("+")
        own = str(lineage.get("key") or "")
        for key in filter(None, (own, str(lineage.get("parent") or ""), *teachers)):
            uses.setdefault(key, Use()).runs[run] = None
        if own:
            uses[own].model, uses[own].line = str(lineage.get("model")), line
    return uses


def unused(kept: Sequence[Kept], runs: Sequence[Path]) -> list[Kept]:
    """Entries that no run references.

    Raises:
        CondenserError: there is no record below ``runs``, or an unreadable one, which might
            reference any entry.
    """
    with warnings.catch_warnings(record=True) as unread:
        warnings.simplefilter("always", records.RecordWarning)
        found = read(runs)
    if unread:
        raise CondenserError(f"--unused: {unread[0].message}; it may name entries: mend it first")
    if not found:
        where = " ".join(map(str, runs))
        raise CondenserError(
            f"--unused: no records below {where}, so that all would go; --runs names your runs"
        )
    return [one for one in kept if not one.runs and one.stage != "outputs"]


def read(runs: Iterable[Path]) -> list[records.Record]:
    """The records below the folders; a folder without records is fine.

    Raises:
        CondenserError: a folder does not exist.
    """
    found: list[records.Record] = []
    for folder in map(existing, runs):
        with suppress(CondenserError):  # no records yet
            found += records.read([folder])
    return found


def existing(folder: Path) -> Path:
    if not folder.is_dir():
        raise CondenserError(f"--runs={folder}: no such folder")
    return folder


def find(kept: Sequence[Kept], word: str) -> Kept:
    """The entry for a key, a key prefix or ``stage-key``.

    Raises:
        CondenserError: no match, or several.
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
    """Leftovers of killed runs: drafts, checkpoints, half-removed entries; also damaged entries
    moved aside."""
    return sorted(path for path in store.iterdir() if marker.LEFT.fullmatch(path.name))


def size(path: Path | str) -> int:
    """Bytes of a file, or of all files below a folder; links are not followed."""
    with suppress(FileNotFoundError, NotADirectoryError):  # removed meanwhile
        if os.path.islink(path) or not os.path.isdir(path):
            return os.lstat(path).st_size
        with os.scandir(path) as inside:
            return sum(
                size(item.path)
                if item.is_dir(follow_symlinks=False)
                else item.stat(follow_symlinks=False).st_size
                for item in inside
            )
    return 0
