"""What a store keeps, for which runs, and how large it is. Reads only; nothing is locked."""

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
    def metrics(self) -> Mapping[str, Any]:
        """Its measured facts; none where they are not what was written."""
        return told(self.folder, RECORD)

    @cached_property
    def ingredients(self) -> Mapping[str, Any]:
        """What its key is the hash of; nothing of entries made before that was kept."""
        return told(self.folder, INGREDIENTS)

    @property
    def model(self) -> str:
        """The network as a run calls it, else the class it was built from."""
        if self.use.record is not None:
            return str(self.use.record["model"])
        architecture = told(self.folder, MODEL).get("architecture")
        named = architecture.get("_target_") if isinstance(architecture, Mapping) else None
        return str(named or "").rpartition(".")[2]

    @property
    def made(self) -> str:
        """When, in ISO 8601."""
        return str(self.metrics.get("date") or "")

    @property
    def lineage(self) -> dict[str, list[str]]:
        """``parent`` and ``teacher`` → keys."""
        known = self.ingredients or self.use.record or {}
        return {role: str(known.get(role) or "").split("+") for role in ("parent", "teacher")}

    @property
    def flaws(self) -> list[str]:
        """``x missing``, ``y altered``: what is seen without reading large files. ``verify`` reads
        all."""
        if self.stage == "taught":
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


def told(folder: Path, name: str) -> Mapping[str, Any]:
    """What a file of an entry says; nothing where it is not what was written. Entries of before
    there were checksums are believed: this is for people to look at."""
    try:
        old = checksums.read(folder) is None
        return {} if not old and checksums.wrong(folder, [name]) else read_json(folder / name)
    except DamagedError:
        return {}


def inventory(store: Path, runs: Iterable[Path]) -> list[Kept]:
    """All entries of a store, the oldest first; whatever else lies there is none.

    Raises:
        CondenserError: it is no store, or one of the runs' folders is not there.
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
    """Key → the runs below these folders that name it."""
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
    """Entries that no run names.

    Raises:
        CondenserError: there is no record below ``runs``, or one that cannot be read: it could
            name any.
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
    return [one for one in kept if not one.runs and one.stage != "taught"]


def read(runs: Iterable[Path]) -> list[records.Record]:
    """The records below the folders; none of a folder without.

    Raises:
        CondenserError: one of them is not there.
    """
    found: list[records.Record] = []
    for folder in runs:
        if not folder.is_dir():
            raise CondenserError(f"--runs={folder}: no such folder")
        with suppress(CondenserError):  # no record in it yet
            found += records.read([folder])
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
    """What runs that were killed have left: drafts, checkpoints, halves of what was removed; and
    what was damaged and put aside."""
    return sorted(path for path in store.iterdir() if marker.LEFT.fullmatch(path.name))


def size(path: Path) -> int:
    """Bytes of a file, or of all files below a folder; links are not followed."""
    with suppress(FileNotFoundError):  # removed meanwhile
        if path.is_symlink() or not path.is_dir():
            return path.lstat().st_size
        return sum(map(size, path.iterdir()))
    return 0
