"""What the checks look at, and what a check says."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from condenser.report.analysis.columns import originals
from condenser.report.analysis.table import Row
from condenser.runs.records import Record, Value

# kinds of stages
MASKS, REBUILDS, CODES = "masks", "rebuilds", "codes"
COMPRESSES = (MASKS, REBUILDS, CODES)
PASS, WARN, FAIL = "pass", "warn", "fail"
OPEN = "undecided"  # the records cannot say
NONE = "not asked"  # nobody claims what it is about

UNCOMPRESSED = NONE, "nothing is compressed here"

Pair = tuple[Value, Value]
"""(data, model)"""
Verdict = tuple[str, str]
"""(status, why)"""


@dataclass(frozen=True)
class Check:
    """One line of the checklist: its number there, what it asks, and what was found."""

    number: int
    title: str
    status: str
    why: str


@dataclass(frozen=True)
class Evidence:
    """The rows by what they are in a comparison."""

    rows: Sequence[Row]
    dense: list[Row]
    compressed: list[Row]
    baselines: list[Row]
    exports: list[Row]
    bases: dict[int, Row | None]  # id of a row → its original

    @staticmethod
    def of(rows: Sequence[Row]) -> Evidence:
        def among(*kinds: str) -> list[Row]:
            return [row for row in rows if row["kind"] in kinds]

        dense = [row for row in among("trains") if row["parent"] is None]
        bases = {id(row): base for row, base in zip(rows, originals(rows), strict=True)}
        kinds = among(*COMPRESSES), among("baseline"), among("exports")
        return Evidence(rows, dense, *kinds, bases)

    def base(self, row: Row) -> Row | None:
        return self.bases[id(row)]

    def records(self) -> list[Record]:
        return [record for row in self.rows for record in row.records]

    def with_baseline(self, kind: str) -> set[Pair]:
        """The (data, model) that have a baseline of this kind."""
        return {pair(row) for row in self.baselines if row["baseline/kind"] == kind}


def asks(
    number: int, title: str
) -> Callable[[Callable[[Evidence], Verdict]], Callable[[Evidence], Check]]:
    """Makes a check of what finds its status, and why."""
    return lambda find: lambda evidence: Check(number, title, *find(evidence))


def pair(row: Row) -> Pair:
    return row["data"], row["model"]


def pairs(rows: Iterable[Row]) -> list[Pair]:
    return sorted({pair(row) for row in rows}, key=str)


def said(found: Iterable[Pair]) -> str:
    """``lenet5 on mnist, mlp on digits``."""
    return ", ".join(f"{model} on {data}" for data, model in sorted(found, key=str))


def words(values: Iterable[object]) -> str:
    return ", ".join(sorted({str(value) for value in values}))


def of(count: int, total: int, what: str = "rows") -> str:
    """``3 of 12 rows``."""
    return f"{count} of {total} {what}"


def lacking(rows: Sequence[Row], key: str) -> list[Row]:
    return [row for row in rows if key not in row.mean]


def gaps_in(rows: Sequence[Row], keys: Iterable[str], what: str = "rows") -> list[str]:
    """``test/ece in 3 of 12 rows`` for each key that some of them lack."""
    counts = {key: len(lacking(rows, key)) for key in keys}
    return [f"{key} in {of(count, len(rows), what)}" for key, count in counts.items() if count]
