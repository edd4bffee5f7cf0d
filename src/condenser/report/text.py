"""The table as a terminal, a Markdown file and spreadsheets show it."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

from condenser.records import REQUIRED, Record, Value
from condenser.report import labels
from condenser.report.columns import MEASURES, Column, columns
from condenser.report.table import Row

if TYPE_CHECKING:
    from rich.table import Table

GAP = 2  # cells between two columns of the terminal table, the box's own space among them


def terminal(rows: Sequence[Row], width: int) -> tuple[Table, list[str]]:
    """The rich table that fits the width, and the heads of the columns that had to give way."""
    from rich import box
    from rich.table import Table

    every = columns(rows)
    fitting = _fit(every, width)
    table = Table(box=box.SIMPLE_HEAD, padding=(0, GAP - 1, 0, 0), pad_edge=False, show_edge=False)
    for column in fitting:
        if column.is_text:
            table.add_column(column.head, overflow="fold")
        else:
            table.add_column(column.head, justify="right", no_wrap=True)
    for cells in zip(*(column.cells for column in fitting), strict=True):
        table.add_row(*cells, style="bold" if "◆" in cells else "")
    return table, [column.head for column in every if column not in fitting]


def _fit(every: list[Column], width: int) -> list[Column]:
    """Drop the columns of the highest rank, rightmost first, until the rest fits."""
    from rich.cells import cell_len

    widths = {id(c): max(map(cell_len, [c.head, *c.cells])) + GAP for c in every}
    fitting = list(every)
    while sum(widths[id(c)] for c in fitting) - GAP > width:
        _, last = max((c.rank, i) for i, c in enumerate(fitting))
        if fitting[last].rank == 0:
            break
        del fitting[last]
    return fitting


def markdown(rows: Sequence[Row], notes: Sequence[str] = ()) -> str:
    """A pipe table with every column, and the notes as a list below it."""
    shown = columns(rows)
    lines = [
        [column.head.replace("|", "\\|") for column in shown],
        [":---" if column.is_text else "---:" for column in shown],
        *zip(*([cell.replace("|", "\\|") for cell in c.cells] for c in shown), strict=True),
    ]
    table = "".join(f"| {' | '.join(line)} |\n" for line in lines)
    return table + ("\n" + "".join(f"- {note}\n" for note in notes) if notes else "")


def table_csv(rows: Sequence[Row]) -> str:
    """One line a row in the records' keys and units: settings, n, mean and std of each measure."""
    shown = dict.fromkeys((*labels.HEADLINES, *labels.varied(rows)))
    settings = [key for key in shown if any(row[key] is not None for row in rows)]
    names = ("experiment", "data", "model", "stage")
    measured = [key for m in MEASURES for key in (m.key, f"{m.key}_std")]
    lines: list[Sequence[Value]] = [("name", *names, *settings, "n", *measured)]
    for name, row in zip(labels.stage_names(rows), rows, strict=True):
        numbers = [n for m in MEASURES for n in (row.mean.get(m.key), row.std.get(m.key))]
        experiment = ", ".join(row.experiments)
        identity = [experiment, *(row[key] for key in (*names[1:], *settings))]
        lines.append((name, *identity, row.n, *numbers))
    return _csv(lines)


def records_csv(records: Sequence[Record]) -> str:
    """Every record as it was written, one column a key."""
    keys = [*REQUIRED, *sorted({key for record in records for key in record} - set(REQUIRED))]
    return _csv([keys, *([record.get(key) for key in keys] for record in records)])


def _csv(lines: Sequence[Sequence[Value]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(lines)
    return text.getvalue()
