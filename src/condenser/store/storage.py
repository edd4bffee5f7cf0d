"""The store: entries computed once, shared by all runs, locked while in use."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from condenser.errors import CondenserError
from condenser.files import force, put_aside
from condenser.store import checksums
from condenser.store.entries import INGREDIENTS, RECORD, Entry, canonical, flaws, unfit
from condenser.store.io_errors import in_words, writable
from condenser.store.lock import Hold, hold, taken
from condenser.store.marker import check, claim


@dataclass(frozen=True)
class StageDir:
    """The working folder of a stage.

    Attributes:
        folder: its contents become the entry when the stage ends.
        checkpoint: a file that survives a kill, for the next process that computes the entry.
        cache_dir: a content-addressed folder shared with other stages.
    """

    folder: Path
    checkpoint: Path
    cache_dir: Path


class Store:
    """A folder of entries, each created atomically.

    Args:
        root: the folder; created on demand.
        spare: where new entries go if ``root`` is not writable. Entries in ``root`` are still used,
            and ``warn`` is called once.

    A returned entry is locked against ``store.py rm`` until ``close`` or the end of the process.
    """

    def __init__(
        self, root: Path, spare: Path | None = None, warn: Callable[[str], None] = print
    ) -> None:
        self.root, self.spare, self.warn, self._told = root, spare, warn, False
        self._held: dict[Path, Hold] = {}
        self._unfit: dict[Path, str] = {}  # entries that are skipped, and why

    def get(self, stage: str, key: str) -> Entry | None:
        """The entry, if there is an intact one."""
        for root in self._roots():
            folder = root / f"{stage}-{key}"
            self._unfit.pop(folder, None)
            if not os.path.lexists(folder):
                continue
            held = (folder / RECORD).is_file() and self._hold(folder)
            if found := flaws(folder):
                self._unfit[folder] = ", ".join(found)
                self._let_go(folder)
            elif held:
                return Entry(folder, key)
        return None

    def get_or_make(
        self,
        stage: str,
        key: str,
        make: Callable[[StageDir], Mapping[str, Any]],
        ingredients: Mapping[str, Any] | None = None,
    ) -> tuple[Entry, bool]:
        """The entry, and whether it already existed.

        ``make`` fills a ``StageDir`` and returns its metrics; ``ingredients``, of which ``key`` is
        the hash, are stored beside them. While one process computes an entry, others that need it
        wait.

        Raises:
            CondenserError: the disk is full, or nothing is writable. Existing entries and training
                checkpoints are kept.
        """
        if entry := self.get(stage, key):
            return entry, True
        root = self._for_new()
        with in_words(root):
            claim(root, usual=root == self.spare)
            with taken(root / f"{stage}-{key}.lock"):
                if entry := self.get(stage, key):
                    return entry, True
                self._clear(f"{stage}-{key}", root)
                self._make(root / f"{stage}-{key}", make, ingredients)
        if entry := self.get(stage, key):
            return entry, False
        raise CondenserError(f"{root / stage}-{key} was removed as soon as it was made")

    def close(self) -> None:
        """Release every entry."""
        for folder in [*self._held]:
            self._let_go(folder)

    def _make(
        self,
        folder: Path,
        make: Callable[[StageDir], Mapping[str, Any]],
        ingredients: Mapping[str, Any] | None,
    ) -> None:
        checkpoint = folder.with_name(f".{folder.name}.ckpt")
        draft = folder.with_name(f".{folder.name}")
        shutil.rmtree(draft, ignore_errors=True)  # left by a process that was killed
        draft.mkdir()
        try:
            metrics = make(StageDir(draft, checkpoint, folder.parent))
            if ingredients is not None:
                (draft / INGREDIENTS).write_text(canonical(ingredients) + "\n", "utf-8")
            (draft / RECORD).write_text(json.dumps(metrics, indent=1) + "\n", "utf-8")
            share(draft)
            checksums.write(draft)
            os.replace(draft, folder)
            force(folder.parent)
            checkpoint.unlink(missing_ok=True)
        finally:
            shutil.rmtree(draft, ignore_errors=True)

    def _clear(self, name: str, root: Path) -> None:
        """Move a damaged entry aside, with a warning."""
        for folder in (place / name for place in self._roots()):
            why = self._unfit.pop(folder, None)
            if why and os.path.lexists(folder):
                mine = folder.parent == root
                where = f"put aside as {put_aside(folder).name}" if mine else "not used"
                self.warn(f"{folder}: {why}; it is {where}, and made anew")

    def _roots(self) -> Iterator[Path]:
        yield self.root
        if self.spare is not None and self.spare != self.root:
            yield self.spare

    def _for_new(self) -> Path:
        """The root in which to create a new entry."""
        if self.spare in (None, self.root) or writable(self.root):
            return self.root
        assert self.spare is not None
        if not self._told:
            self._told = True
            self.warn(
                f"{self.root} cannot be written: it is read, and new results go to {self.spare}"
            )
        return self.spare

    def _hold(self, folder: Path) -> bool:
        """Lock the entry; False if it is gone."""
        if folder not in self._held:
            held = hold(folder / RECORD)
            if held is None:
                return False
            self._held[folder] = held
        return True

    def _let_go(self, folder: Path) -> None:
        if folder in self._held:
            self._held.pop(folder).close()


def share(folder: Path) -> None:
    """Give files the folder's read permissions; safetensors writes owner-only files."""
    readable = folder.stat().st_mode & 0o444
    for name in checksums.files(folder):
        file = folder / name
        file.chmod(file.stat().st_mode | readable)


def check_place(config: Mapping[str, Any]) -> None:
    """ConfigError if a run would put its entries into a folder of other files."""
    root = Path(config["store"])
    if root != Path(config["runs"]) / ".store" and writable(root):
        check(root)


def stored_at(config: Mapping[str, Any], record: Mapping[str, Any]) -> Entry:
    """The entry of a record, found from its run's config: in its store or the spare one.

    Raises:
        DamagedError: it is damaged or gone; names the command that recomputes it.
    """
    folder = folder_of(config, record)
    wrong = flaws(folder) if folder.is_dir() else ["it is not there"]
    if wrong:
        raise unfit(folder, wrong, f"to make it anew: {again(config, record)}")
    return Entry(folder, str(record["key"]))


def folder_of(config: Mapping[str, Any], record: Mapping[str, Any]) -> Path:
    name = f"{record['stage']}-{record['key']}"
    places = [Path(config["store"]) / name, Path(config["runs"]) / ".store" / name]
    return next((place for place in places if place.is_dir()), places[0])


def whole(config: Mapping[str, Any], records: Iterable[Mapping[str, Any]]) -> None:
    """DamagedError if an entry of one of the records exists but is damaged."""
    for record in records:
        if folder_of(config, record).is_dir():
            stored_at(config, record)


def again(config: Mapping[str, Any], record: Mapping[str, Any]) -> str:
    """The command that reruns the record's run."""
    words = str(record.get("command") or "the command of its run").split()
    if words[:2] not in (["python", "src/train.py"], ["condenser", "train"]):
        return " ".join(words)
    for key, usual in (("runs", Path("runs")), ("store", Path(config["runs"]) / ".store")):
        if Path(config[key]).resolve() != usual.resolve():
            words.append(f"{key}={config[key]}")
    return " ".join(words)
