"""Search objectives: record keys to maximise or minimise."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from condenser.errors import CondenserError, ConfigError, UnknownError, nearest, one_of
from condenser.runs.records import REQUIRED, Record

Direction = Literal["maximize", "minimize"]
TEST = ("test/", "teacher/", "class/")  # measured on the test set
NUMBERS = tuple(
    key
    for key in REQUIRED
    if key.startswith(("val/", "size/", "compute/", "latency/ms", "cost/"))
    if key not in ("size/file_format", "cost/reused")
)


@dataclass(frozen=True)
class Objectives:
    """Record keys to maximize, then those to minimize."""

    maximize: Sequence[str]
    minimize: Sequence[str]

    @property
    def keys(self) -> list[str]:
        return [*self.maximize, *self.minimize]

    @property
    def directions(self) -> list[Direction]:
        up: list[Direction] = ["maximize"] * len(self.maximize)
        down: list[Direction] = ["minimize"] * len(self.minimize)
        return up + down

    def check(self, where: str) -> None:
        """Check the keys before anything is measured; ``where`` prefixes the setting's name.

        Raises:
            ConfigError: no key, a duplicate, one measured on the test set, or one that is probably
                misspelt.
        """
        for name, keys in (("maximize", self.maximize), ("minimize", self.minimize)):
            for key in keys:
                if key.startswith(TEST):
                    allowed = "a fact that is not of the test images, which are read at the end"
                    raise ConfigError(f"{where}{name}", key, allowed, "as val/accuracy")
                if key not in NUMBERS and misspelt(key):
                    raise UnknownError(f"{where}{name}", key, NUMBERS)
                if self.keys.count(key) > 1:
                    raise ConfigError(f"{where}{name}", key, "each key once")
        if not self.keys:
            raise ConfigError(f"{where}maximize", "[]", f"{one_of(NUMBERS)}, here or in minimize")

    def read(self, record: Record) -> list[float]:
        """Their values in a record.

        Raises:
            UnknownObjectiveError: the record has no such key.
            CondenserError: a value is no finite number.
        """
        return [value_of(record, key) for key in self.keys]


class UnknownObjectiveError(UnknownError):
    """A key that no record of the search has."""


def value_of(record: Record, key: str) -> float:
    if key not in record:
        known = [k for k, v in record.items() if is_number(v) and not k.startswith(TEST)]
        families = {k for k in known if k.partition("/")[0] == key.partition("/")[0]}
        raise UnknownObjectiveError("the objective", key, families or NUMBERS)
    value = record[key]
    if not is_number(value):
        raise CondenserError(f"{key} is {value}, no number to compare")
    return float(value)  # type: ignore[arg-type]


def is_number(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value) and not isinstance(value, bool)


def misspelt(key: str) -> str:
    """A hint for a key that is close to one that every record has.

    Stage-specific keys, such as prune/achieved, are not known beforehand.
    """
    family = key.partition("/")[0]
    known = {k.partition("/")[0] for k in NUMBERS}
    return nearest(key, NUMBERS) if family in known or nearest(family, known) else ""
