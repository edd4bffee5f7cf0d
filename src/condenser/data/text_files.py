"""Texts and their labels in files: TSV, CSV or JSON lines."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from condenser.data.tree import PARTS, WHOLE
from condenser.errors import ConfigError, DamagedError, UnknownError, shown
from condenser.files import loads, read_bytes

SUFFIXES = (".tsv", ".csv", ".jsonl", ".txt")
LARGEST = 1 << 20  # characters of one field


class Row(NamedTuple):
    text: str
    label: str
    split: str


def read_texts(
    root: str | Path | None, text: str = "text", label: str = "label", encoding: str = "utf-8"
) -> dict[str, list[Row]]:
    """The rows of a file, or of the files train, val and test of a folder, by part.

    Args:
        text, label: names of the columns, or keys of the objects; ``split`` is a third, optional.

    Raises:
        ConfigError: no such file, no such columns, an unknown split.
        DamagedError: a line that is not in the encoding, has no text or no label.
    """
    path = Path(root or "").expanduser()
    if root is None or not path.exists():
        raise ConfigError(
            "data.root", root, f"a file in {', '.join(SUFFIXES)}, or a folder of them"
        )
    if path.is_file():
        return by_split(root, rows_of(path, text, label, encoding))
    found = {part: file for part in PARTS if (file := file_of(path, part)) is not None}
    if "train" not in found:
        has = ", ".join(sorted(p.name for p in path.iterdir())[:5]) or "nothing"
        allowed = f"a folder with train{SUFFIXES[0]} (or .csv, .jsonl), or one file"
        raise ConfigError("data.root", root, allowed, f"it has {has}")
    return {part: list(rows_of(file, text, label, encoding)) for part, file in found.items()}


def file_of(folder: Path, part: str) -> Path | None:
    """The file of a part, by its name."""
    names = (*PARTS[part], *(("dev",) if part == "val" else ()))
    files = (folder / f"{name}{suffix}" for name in names for suffix in SUFFIXES)
    return next((file for file in files if file.is_file()), None)


def by_split(root: object, rows: Iterator[Row]) -> dict[str, list[Row]]:
    """Rows by what their column split says; all of them where there is none."""
    known = {alias: part for part, aliases in PARTS.items() for alias in aliases}
    known |= {"dev": "val", "": WHOLE}
    found: dict[str, list[Row]] = {}
    for row in rows:
        word = row.split.strip().lower()
        if word not in known:
            raise UnknownError("data.root: split", row.split, [*known][:-1])
        found.setdefault(known[word], []).append(row)
    if WHOLE in found and len(found) > 1:
        raise ConfigError("data.root", root, "a split for every row, or for none")
    return found


def rows_of(path: Path, text: str, label: str, encoding: str) -> Iterator[Row]:
    """The rows of one file, each checked."""
    lines = decoded(path, encoding)
    found = objects(path, lines) if path.suffix == ".jsonl" else table(path, lines)
    for number, known in found:
        for name in (text, label):
            if name not in known:
                allowed = f"a table with columns {text}, {label} and maybe split"
                has = f"line {number} has {', '.join(map(str, known)) or 'none'}"
                raise ConfigError("data.root", path, allowed, has)
        held = (known.get(name) for name in (text, label, "split"))
        words = ["" if one is None else str(one).strip() for one in held]
        for name, word in zip((text, label), words[:2], strict=True):
            if not word:
                raise DamagedError(f"{shown(path)}: line {number} has no {name}")
        yield Row(*words)


def decoded(path: Path, encoding: str) -> str:
    """The text of a file. DamagedError names the line that is not in the encoding."""
    content = read_bytes(path)
    try:
        return content.decode(encoding).removeprefix("\ufeff")
    except LookupError as error:
        raise ConfigError("data.source.encoding", encoding, "an encoding, as utf-8") from error
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        hint = "data.source.encoding names another; a file of several has to be converted"
        raise DamagedError(f"{shown(path)}: line {line} is not {encoding}; {hint}") from error


def objects(path: Path, text: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """The JSON object of each line, empty lines passed over."""
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            try:
                found = loads(line.encode())
            except ValueError as error:
                raise DamagedError(f"{shown(path)}: line {number} is no JSON: {error}") from error
            if not isinstance(found, dict):
                raise DamagedError(f"{shown(path)}: line {number} is no JSON object")
            yield number, found


def table(path: Path, text: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """The rows below a line of names, empty lines passed over; TSV has no quotes."""
    csv.field_size_limit(LARGEST)
    plain = path.suffix != ".csv"
    how: dict[str, Any] = {"delimiter": "\t", "quoting": csv.QUOTE_NONE} if plain else {}
    reader = csv.reader(io.StringIO(text, newline=""), strict=True, **how)
    names: Sequence[str] | None = None
    try:
        for row in reader:
            if not any(cell.strip() for cell in row):
                continue
            if names is None:
                names = [name.strip().lower() for name in row]
            elif len(row) != len(names):
                raise DamagedError(
                    f"{shown(path)}: line {reader.line_num} has {len(row)} fields, the first line "
                    f"{len(names)}"
                )
            else:
                yield reader.line_num, dict(zip(names, row, strict=True))
    except csv.Error as error:
        raise DamagedError(f"{shown(path)}: line {reader.line_num}: {error}") from error
