"""From records to what people look at: the table, the accuracy-vs-size curve, CSV and Markdown.

Everything here is made from records alone, by pure functions; only write and read touch the disk.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from condenser.errors import CondenserError
from condenser.records import Record
from condenser.report.labels import ordered
from condenser.report.table import Row, rows

__all__ = ["Report", "Row", "ordered", "rows", "write"]


@dataclass(frozen=True)
class Report:
    """What was made: the table's rows in reading order, and each file with what it shows."""

    rows: list[Row]
    files: dict[Path, str]


def write(
    records: Sequence[Record], out: Path, x: str = "size/file_bytes", y: str = "test/accuracy"
) -> Report:
    """Write curve.png, curve.svg, table.csv, table.md and records.csv into the folder out, and
    methods.png and methods.svg where methods were tried at several sizes.

    x and y are record keys of numbers, the curve's axes. Raises CondenserError if no record has
    both, or if the folder cannot be written.
    """
    from condenser.report import checks, curve, series, text

    table = ordered(rows(records))
    drawn = curve.drawable(table, x, y)
    figure = curve.draw(drawn, x, y)
    left_out = len(table) - len(drawn)
    without = f" (without {left_out} rows that lack {x} or {y})" if left_out else ""
    files: dict[str, tuple[bytes | str, str]] = {
        "curve.png": (curve.image(figure, "png"), f"{y} over {x}{without}"),
        "curve.svg": (curve.image(figure, "svg"), "the same, for papers"),
        "table.csv": (text.table_csv(table), "mean and std of every row"),
        "table.md": (text.markdown(table, checks.notes(table)), "the table with its notes"),
        "records.csv": (text.records_csv(records), f"all {len(records)} records"),
    }
    if (lines := series.draw(table, x, y)) is not None:
        files["methods.png"] = (curve.image(lines, "png"), "the same, a line a method")
        files["methods.svg"] = (curve.image(lines, "svg"), "the same, for papers")
    try:
        out.mkdir(parents=True, exist_ok=True)
        for name, (content, _) in files.items():
            (out / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    except OSError as error:
        raise CondenserError(f"{out}: cannot write the report: {error.strerror}") from error
    return Report(table, {out / name: shows for name, (_, shows) in files.items()})
