"""What W&B shows of a run beside its curves: axes, all records as a table, accuracy over size."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from condenser.tracking.base import Record
from condenser.tracking.values import as_cell, union_of_keys

if TYPE_CHECKING:
    from wandb import Run

SIZE, ACCURACY = "size/file_bytes", "test/accuracy"


def define_axis(run: Run, prefix: str, axis: str) -> None:
    """Draws all of ``prefix/`` over ``prefix/axis``, and leaves the summary to the last record."""
    run.define_metric(f"{prefix}/{axis}", hidden=True, summary="none")
    run.define_metric(f"{prefix}/*", step_metric=f"{prefix}/{axis}", summary="none")


def write_summary(run: Run, values: Mapping[str, Any]) -> None:
    """The summary is these values, whatever an earlier process of this run left in it."""
    for key in [key for key in run.summary.keys() if key not in values and key[0] != "_"]:  # noqa: SIM118
        del run.summary[key]
    run.summary.update(dict(values))


def log_tables(run: Run, records: Sequence[Record]) -> None:
    """Logs all records as a table, and their accuracy against size as a scatter plot."""
    import wandb

    columns = union_of_keys(records)
    logged: dict[str, Any] = {"records": table_of(records, columns)}
    points = [r for r in records if r.get(SIZE) is not None and r.get(ACCURACY) is not None]
    if points:
        table = table_of(points, ["model", "stage", SIZE, ACCURACY])
        logged["accuracy_vs_size"] = wandb.plot.scatter(table, SIZE, ACCURACY, "Accuracy vs size")
    run.log(logged)


def table_of(records: Iterable[Record], columns: Sequence[str]) -> Any:
    """A W&B table with one row a record; what a record lacks is an empty cell."""
    import wandb

    rows = [[as_cell(record.get(column)) for column in columns] for record in records]
    return wandb.Table(columns=list(columns), data=rows, allow_mixed_types=True)
