"""Records to rows: repeats over seeds become one row with n, mean and sample standard deviation."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import TypeGuard

from condenser.report.analysis import statistics
from condenser.runs.records import Record, Value


@dataclass(frozen=True, eq=False)  # a row is itself: what is worked out of rows is kept by them
class Row:
    """One stage under one config, repeated over seeds.

    mean, std and half hold every numeric column; std is the sample's (ddof=1), half is half the
    95 % interval of the mean; both have no entry where fewer than two seeds measured the column.
    """

    records: tuple[Record, ...]  # one a seed
    mean: dict[str, float]
    std: dict[str, float]
    half: dict[str, float]
    experiments: tuple[str, ...]  # all that list it, also by a duplicate

    @property
    def n(self) -> int:
        return len(self.records)

    def by_seed(self, key: str) -> dict[object, float]:
        """Seed → the number it measured, for paired tests."""
        found = {record.get("seed"): record.get(key) for record in self.records}
        return {seed: value for seed, value in found.items() if is_number(value)}

    def __getitem__(self, key: str) -> Value:
        """What the first seed says: for names, lineage and settings, which all seeds share."""
        return self._first.get(key)

    @cached_property
    def _first(self) -> dict[str, Value]:
        return dict(self.records[0].items())


def rows(records: Iterable[Record]) -> list[Row]:
    """One row for each group, in the order they first appear.

    Records with the same (group, seed) are one measurement, e.g. the teacher that eight runs of a
    sweep share, and count once: the one that was trained rather than reused, then the newest.
    """
    groups: dict[object, list[Record]] = {}
    for record in records:
        name = record.get("group") or (record["run"], record.get("position"), record["stage"])
        groups.setdefault(name, []).append(record)
    return [_row(listed) for listed in groups.values()]


def _rank(record: Record) -> tuple[bool, str]:
    return not record.get("cost/reused"), str(record.get("date") or "")


def _row(listed: list[Record]) -> Row:
    seeds: dict[Value, Record] = {}
    for record in listed:
        seed = record.get("seed")
        seeds[seed] = max(seeds.get(seed, record), record, key=_rank)
    columns: dict[str, list[float]] = {}
    for record in seeds.values():
        for key, value in record.items():
            if is_number(value):
                columns.setdefault(key, []).append(value)
    mean = {key: math.fsum(values) / len(values) for key, values in columns.items()}
    several = {key: values for key, values in columns.items() if len(values) > 1}
    std = {key: statistics.std(values, mean[key]) for key, values in several.items()}
    half = {key: statistics.half_width(std[key], len(several[key])) for key in several}
    names = dict.fromkeys(str(name) for r in listed if (name := r.get("experiment")))
    return Row(tuple(seeds.values()), mean, std, half, tuple(names))


def is_number(value: Value) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)
