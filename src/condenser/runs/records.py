"""Records: lineage, settings and results of one stage's model, a JSON line each in records.jsonl.

    {"lineage": {"run": …}, "settings": {"prune/rate": …}, "results": {"test/accuracy": …}}

In Python, CSV and W&B a record reads as one flat mapping.
"""

from __future__ import annotations

import json
import math
import os
import re
import warnings
from collections.abc import ItemsView, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar, cast

from condenser.errors import CondenserError, DamagedError, printable, shown
from condenser.files import DECODER, force, loads, read_bytes, write_whole
from condenser.runs.disk import hint, missing

Value = str | int | float | bool | None
R = TypeVar("R", bound=Mapping[str, Any])

FILE = "records.jsonl"
PLAIN = frozenset((str, int, bool, type(None)))  # what needs no second look

# What every stage has, in the order it is written; null where it does not apply.
REQUIRED: tuple[str, ...] = (
    *("run", "experiment", "claim", "stage", "kind", "position", "model", "seed"),
    *("key", "parent", "teacher", "group", "commit", "hardware", "versions", "code"),
    *("command",),
    *("date", "data", "val/accuracy", "val/accuracy_last", "test/accuracy"),
    *("test/accuracy_last", "test/top5", "test/ece", "test/nll"),
    *("teacher/accuracy", "teacher/agreement", "size/params", "size/nonzero"),
    *("size/distinct", "size/fp32_bytes", "size/file_bytes", "size/file_format"),
    *("size/packed_bytes",),
    *("compute/macs", "compute/nonzero_macs", "latency/ms_b1", "latency/iqr_b1"),
    *("latency/runtime", "latency/threads", "energy/uj", "energy/macs_uj", "energy/memory_uj"),
    *("cost/train_seconds", "cost/epochs"),
    *("cost/best_epoch", "cost/samples_per_second", "cost/reused"),
)


# of what every stage has, what is text and what a number
TEXTS = frozenset(
    (*(key for key in REQUIRED if "/" not in key), "size/file_format", "latency/runtime")
) - {"position", "seed"}
REQUIRED_KEYS = frozenset(REQUIRED)
NUMBERS = REQUIRED_KEYS - TEXTS
PARTS = ("lineage", "settings", "results")
WHOLE = 1 << 30  # bytes of a file of records
LARGEST = 1e30  # of which sums and squares are still numbers
NAMES = ("stage", "key")  # of which a folder's name is made
STRICT = NUMBERS | frozenset(NAMES)  # of which not every text is one
START = b'{"lineage": {'  # as Record.line writes
NAME = re.compile(r"\w[\w.,=+-]*")
# JSON in which a character may be that no terminal should have
ESCAPED = re.compile(
    rb"\\u00[0-9]|\\u20[26]|\\[bfr]|\x7f|\xc2[\x80-\x9f]|\xe2(\x80[\xaa-\xae]|\x81[\xa6-\xa9])"
)


class RecordWarning(UserWarning):
    """A line or a file that was passed over while reading; the rest was kept."""


class Record(Mapping[str, Value]):
    """One stage's model: where it comes from, what was asked for, what came out.

    Reads as one flat mapping, REQUIRED first, the rest sorted. A key with a slash is a setting or
    a result; one without is lineage.
    """

    def __init__(self, flat: Mapping[str, object], settings: Iterable[str] = ()) -> None:
        """``settings`` says which keys of the flat mapping are settings.

        Raises ValueError naming the key for a value that one JSON line cannot hold for every
        reader: a nested one, an array scalar, nan, inf. Who measures a number that is none says
        None.
        """
        order = (*REQUIRED, *sorted(flat.keys() - REQUIRED_KEYS))
        self._flat: dict[str, Value] = {
            key: cast(Value, value) if type(value := flat.get(key)) in PLAIN else _plain(key, value)
            for key in order
        }
        asked = frozenset(settings)
        self.lineage = {k: v for k, v in self._flat.items() if "/" not in k}
        self.settings = {k: v for k, v in self._flat.items() if k in asked and "/" in k}
        self.results = {k: v for k, v in self._flat.items() if k not in asked and "/" in k}

    def __getitem__(self, key: str) -> Value:
        return self._flat[key]

    def get(self, key: str, default: Any = None) -> Any:
        return self._flat.get(key, default)  # Mapping's own tries, and raises, a million times

    def items(self) -> ItemsView[str, Value]:
        return self._flat.items()

    def __iter__(self) -> Iterator[str]:
        return iter(self._flat)

    def __len__(self) -> int:
        return len(self._flat)

    def __repr__(self) -> str:
        return f"Record({self.line()})"

    def adding(
        self, found: Mapping[str, object], settings: Mapping[str, object] | None = None
    ) -> Record:
        """The record with more lineage and results, and more settings."""
        more = settings or {}
        return Record({**self._flat, **more, **found}, self.settings.keys() | more.keys())

    def line(self) -> str:
        """The record as JSON; one line."""
        parts = {"lineage": self.lineage, "settings": self.settings, "results": self.results}
        return json.dumps(parts, ensure_ascii=False)


def _plain(key: str, value: object) -> Value:
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{key}={value}: must be a finite number or None")
    if value is None or isinstance(value, str | int | float):
        return value
    kind = type(value).__name__
    raise ValueError(f"{key}={value!r}: must be str, int, float, bool or None, not {kind}")


def write(folder: Path, records: Iterable[Record]) -> None:
    """Replace ``folder/records.jsonl`` by these records, whole or not at all."""
    text = "".join(record.line() + "\n" for record in records)
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / FILE, text)
    force(folder)


def final(records: Sequence[R]) -> R:
    """The record that a run was for: the last of its recipe, baselines aside."""
    return [record for record in records if record["stage"] != "baseline"][-1]


def read(paths: Iterable[Path | str]) -> list[Record]:
    """Every record of files, run folders, experiment folders or a runs root, each record once.

    Folders are searched for records.jsonl; hidden folders below them (runs/.store) are skipped.
    A line that is no record is passed over with a RecordWarning that names file and line.
    Raises CondenserError for a path that does not exist, cannot be read or holds no record.
    """
    return unique(by_file(paths))


def by_file(paths: Iterable[Path | str]) -> dict[Path, dict[str, Record]]:
    """The same, file by file; a record by its line."""
    seen: dict[Path, dict[str, Record]] = {}
    for path in map(Path, paths):
        if not _exists(path):
            raise CondenserError(missing(path))
        files = [Path(os.path.realpath(file)) for file in _files(path)]
        for file in files:
            if file not in seen:
                seen[file] = dict(_lines(file))
        if not any(seen[file] for file in files):
            raise CondenserError(f"{path}: holds no record that can be read" + hint(path))
    return seen


def unique(found: Mapping[Path, Mapping[str, Record]]) -> list[Record]:
    """Overlapping paths and copied runs count once."""
    records: dict[str, Record] = {}
    for of_file in found.values():
        records.update(of_file)
    return list(records.values())


def lineages(paths: Iterable[Path | str]) -> Iterator[tuple[dict[str, Any], bytes]]:
    """Where each record comes from, with its line, for listings: no more of it is read."""
    for file in (file for path in map(Path, paths) for file in _files(path)):
        try:
            lines = read_bytes(file, WHOLE).split(b"\n")
        except (OSError, DamagedError):
            continue
        for line in lines:
            with suppress(ValueError, RecursionError):
                if line.startswith(START):
                    lineage, _ = DECODER.raw_decode(line.decode(), len(START) - 1)
                    yield (_shown(lineage) if _escaped(line) else lineage), line


def parsed(line: bytes) -> Record | None:
    """The record of a line; None if it is none."""
    try:
        return _record(line)
    except ValueError:
        return None


def _exists(path: Path) -> bool:
    """Raises CondenserError where nobody is allowed to look."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise CondenserError(f"{path}: cannot be read: {error.strerror}") from error
    return True


def _files(path: Path) -> Iterator[Path]:
    """The path itself if it is a file, else each records.jsonl below it, in order of names."""
    if path.is_file():
        yield path
        return
    for folder, children, files in os.walk(path, onerror=_skip):
        children[:] = sorted(child for child in children if not child.startswith("."))
        if FILE in files:
            yield Path(folder) / FILE


def _lines(file: Path) -> Iterator[tuple[str, Record]]:
    """The records of one file, each with its line."""
    try:
        lines = read_bytes(file, WHOLE).split(b"\n")
    except (OSError, DamagedError) as error:
        _skip(error)
        return
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            record = _record(line)
        except ValueError as error:
            warnings.warn(f"{file}:{number}: skipped: {error}", RecordWarning, stacklevel=3)
        else:
            yield line.decode(), record


def _skip(error: OSError | DamagedError) -> None:
    said = f"{error.filename}: skipped: {error.strerror}" if isinstance(error, OSError) else error
    warnings.warn(str(said), RecordWarning, stacklevel=3)


def _record(line: bytes) -> Record:
    """What a line says, if a run could have written it; control characters in it are not shown."""
    found = loads(line)
    if not isinstance(found, dict) or set(found) != set(PARTS):
        raise ValueError(f"not a record ({', '.join(PARTS)})")
    parts = [found[part] for part in PARTS]
    if not all(isinstance(part, dict) for part in parts):
        raise ValueError(f"not a record ({', '.join(PARTS)} must be mappings)")
    if _escaped(line):
        parts = [_shown(part) for part in parts]
    lineage, settings, results = parts
    if not lineage.get("run") or not lineage.get("stage"):
        raise ValueError("not a record (no run, no stage)")
    astray = [key for part in parts for key in part if ("/" in key) == (part is lineage)]
    if astray or (astray := [key for key in settings if key in results]):
        raise ValueError(f"{shown(astray[0])}: in the wrong part of the record")
    record = Record(lineage | settings | results, settings)
    for key, value in record.items():
        plain = key not in STRICT if value.__class__ is str else value is None
        if not plain and value is not None and (must := _unlike(key, value)):
            raise ValueError(f"{key}={shown(value)}: must be {must}")
    return record


def _unlike(key: str, value: str | int | float | bool) -> str:
    """What a value must be that is not what runs write; nothing for one that is."""
    if isinstance(value, str):
        if key in NAMES and not NAME.fullmatch(value):
            return "a name"
        return "a number" if key in NUMBERS else ""
    if key in TEXTS:
        return "text"
    if key == "position" and not (type(value) is int and value >= 0):
        return "a whole number from 0"
    return "" if abs(value) < LARGEST else f"below {LARGEST:g}"


def _escaped(line: bytes) -> bool:
    """``ESCAPED``, without a search where there can be none."""
    plain = line.isascii() and b"\\" not in line and b"\x7f" not in line
    return not plain and ESCAPED.search(line) is not None


def _shown(part: Mapping[str, Any]) -> dict[str, Any]:
    return {
        printable(key): printable(value) if isinstance(value, str) else value
        for key, value in part.items()
    }
