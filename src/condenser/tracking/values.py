"""Values of a record or a config as tables, plots and W&B take them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from numbers import Integral, Real
from typing import Any

from condenser.tracking.base import Record


def union_of_keys(records: Iterable[Record]) -> list[str]:
    """Every key of any record, in order of first appearance."""
    return list(dict.fromkeys(key for record in records for key in record))


def as_cell(value: Any) -> Any:
    """A value for one cell of a table: scalars as they are, anything nested as JSON."""
    scalar = value is None or isinstance(value, (str, bool, int, float))
    return value if scalar else json.dumps(plain(value))


def numbers_of(record: Record) -> dict[str, float]:
    """The numeric values of a record; truth values count as 0 and 1."""
    return {key: number(value) for key, value in record.items() if isinstance(value, Real)}


def number(value: Real) -> float:
    """A number of any library as Python's own."""
    return int(value) if isinstance(value, (bool, Integral)) else float(value)


def plain(value: Any) -> Any:
    """Nested mappings and sequences as dicts and lists of scalars; anything else as text."""
    if value is None or isinstance(value, (str, bool, int, float)):
        return value
    if isinstance(value, Real):
        return number(value)
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, Iterable):
        return [plain(item) for item in value]
    return str(value)


def recipe_words(config: Mapping[str, Any]) -> list[str]:
    """The stages of a config's recipe, one a position: ``{tune: {}, times: 2}`` is two."""
    found: list[str] = []
    for entry in (config.get("recipe") or {}).get("stages") or ():
        if isinstance(entry, str):
            found.append(entry)
        else:
            word = next(key for key in entry if key not in ("times", "until"))
            found += [word] * int(entry.get("times", 1))
    return found


def chart_name(label: str, recipe: Sequence[str]) -> str:
    """What a stage's curves are called, whatever its place in the recipe, so that recipes overlay.

    ``2-prune`` is ``prune``, the recipe's second prune is ``prune-2``.
    """
    position, _, name = label.partition("-")
    before = recipe[: int(position)].count(name.partition("-")[0])
    return f"{name}-{before + 1}" if before else name
