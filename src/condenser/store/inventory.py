"""Inventory of a store: entries, runs that use them, sizes. Read-only, without locks."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from condenser.errors import CondenserError, DamagedError, nearest
from condenser.files import read_json
from condenser.runs import records
from condenser.store import checksums, marker
from condenser.store.entries import INGREDIENTS, MODEL, RECORD, WEIGHTS

SMALL = (RECORD, INGREDIENTS, MODEL)
SHORTEST = 4  # minimum length of a key prefix


@dataclass
class Use:
    """The runs whose records reference a key, and its own record."""

    runs: dict[str, None] = field(default_factory=dict)
    record: Mapping[str, Any] | None = None


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
        return json_of(self.folder, RECORD)

    @cached_property
    def ingredients(self) -> Mapping[str, Any]:
        """What its key is the hash of; empty for older entries without it."""
        return json_of(self.folder, INGREDIENTS)

    @property
    def model(self) -> str:
        """The network's name in a run, else its class."""
        if self.use.record is not None:
            return str(self.use.record["model"])
        architecture = json_of(self.folder, MODEL).get("architecture")
        named = architecture.get("_target_") if isinstance(architecture, Mapping) else None
        return str(named or "").rpartition(".")[2]

    @property
    def made(self) -> str:
        """Creation time in ISO 8601."""
        return str(self.metrics.get("date") or "")

    @property
    def lineage(self) -> dict[str, list[str]]:
        """``parent`` and ``teacher`` → keys."""
        known = self.ingredients or self.use.record or {}
        return {role: str(known.get(role) or "").split("+") for role in ("parent", "teacher")}

    @property
    def flaws(self) -> list[str]:
        """``x missing``, ``y altered``: damage visible without reading large files."""
        if self.stage == "outputs":
            return []
        try:
            known = checksums.read(self.folder)
        except DamagedError:
            return [f"{checksums.FILE} altered"]
        if known is None:
            gone = (RECORD, MODEL, WEIGHTS)
            return [f"{name} missing" for name in gone if not (self.folder / name).is_file()]
        return checksums.wrong(
            self.folder, [RECORD, *(n for n in known if n in SMALL or not self.has(n))]
        )

    def has(self, name: str) -> bool:
        return (self.folder / name).is_file()


def json_of(folder: Path, name: str) -> Mapping[str, Any]:
    """A JSON file of an entry; empty if damaged. Entries from before checksums are trusted: this is
    for display only."""
    try:
        old = checksums.read(folder) is None
        return {} if not old and checksums.wrong(folder, [name]) else read_json(folder / name)
    except DamagedError:
        return {}


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
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", records.RecordWarning)
        found = read(runs)
    for record in found:
        run = f"{record['experiment']}/{record['run']}"
        teachers = str(record["teacher"] or "").split("+")
        for key in (record["key"], record["parent"], *teachers):
            if key:
                uses.setdefault(str(key), Use()).runs[run] = None
        if record["key"]:
            uses[str(record["key"])].record = record
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
    for folder in runs:
        if not folder.is_dir():
            raise CondenserError(f"--runs={folder}: no such folder")
        with suppress(CondenserError):  # no records yet
            found += records.read([folder])
    return found


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


def size(path: Path) -> int:
    """Bytes of a file, or of all files below a folder; links are not followed."""
    with suppress(FileNotFoundError):  # removed meanwhile
        if path.is_symlink() or not path.is_dir():
            return path.lstat().st_size
        return sum(map(size, path.iterdir()))
    return 0
