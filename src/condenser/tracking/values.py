"""Values of a record or a config as tables, plots and W&B take them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
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
