"""Records to rows: repeats over seeds become one row with n, mean and sample standard deviation."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from condenser.records import Record, Value


@dataclass(frozen=True)
class Row:
    """One stage under one config, repeated over seeds.

    mean and std hold every numeric column; std is the sample's (ddof=1), with no entry where fewer than
    two seeds measured the column.
    """

    records: tuple[Record, ...]  # one a seed
    mean: dict[str, float]
    std: dict[str, float]

    @property
    def n(self) -> int:
        return len(self.records)

    @property
    def experiments(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(str(r["experiment"]) for r in self.records if r["experiment"]))

    def __getitem__(self, key: str) -> Value:
        """What the first seed says: for names, lineage and settings, which all seeds share."""
        return self.records[0].get(key)


def rows(records: Iterable[Record]) -> list[Row]:
    """One row for each group, in the order they first appear.

    Records with the same (group, seed) are one measurement, e.g. the teacher that eight runs of a sweep
    share, and count once: the one that was trained rather than reused, then the newest.
    """
    groups: dict[object, dict[Value, Record]] = {}
    for record in records:
        name = record.get("group") or (record["run"], record.get("position"), record["stage"])
        seeds = groups.setdefault(name, {})
        seed = record.get("seed")
        if seed not in seeds or _rank(record) > _rank(seeds[seed]):
            seeds[seed] = record
    return [_row(tuple(seeds.values())) for seeds in groups.values()]


def _rank(record: Record) -> tuple[bool, str]:
    return not record.get("cost/reused"), str(record.get("date") or "")


def _row(records: tuple[Record, ...]) -> Row:
    columns: dict[str, list[float]] = {}
    for record in records:
        for key, value in record.items():
            if isinstance(value, int | float) and not isinstance(value, bool):
                columns.setdefault(key, []).append(value)
    mean = {key: math.fsum(values) / len(values) for key, values in columns.items()}
    std = {key: _std(values, mean[key]) for key, values in columns.items() if len(values) > 1}
    return Row(records, mean, std)


def _std(values: list[float], mean: float) -> float:
    return math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1))
