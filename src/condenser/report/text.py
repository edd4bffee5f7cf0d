"""The table as a terminal, a Markdown file and spreadsheets show it."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from condenser.report.analysis import labels
from condenser.report.analysis.columns import ACCURACY, FILE, MEASURES, Column, columns, pareto
from condenser.report.analysis.pairs import Neighbours
from condenser.report.analysis.table import Row
from condenser.runs.records import REQUIRED, Record, Value

if TYPE_CHECKING:
    from rich.table import Table

TEX = {sign: f"\\{sign}" for sign in "&%$#_{}"} | {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "±": r"$\pm$",
    "×": r"$\times$",
    "÷": r"$\div$",
    "◆": r"$\blacklozenge$",
    "µ": r"$\mu$",
    "Δ": r"$\Delta$",
    "α": r"$\alpha$",
    "β": r"$\beta$",
    "γ": r"$\gamma$",
    "λ": r"$\lambda$",
    "<": "$<$",
    ">": "$>$",
}
MOST_ROWS = 120  # of the terminal
GAP = 2  # cells between two columns of the terminal table, the box's own space among them


def terminal(rows: Sequence[Row], width: int) -> tuple[Table, list[str]]:
    """The rich table that fits the width, and what had to give way: heads of columns, and rows
    where there are more than anyone reads down."""
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
    lines = list(zip(*(column.cells for column in fitting), strict=True))
    shown = _notable(rows)
    for i in shown:
        table.add_row(*lines[i], style="bold" if "◆" in lines[i] else "")
    hidden = [column.head or "front" for column in every if column not in fitting]
    return table, [*hidden, *([f"{len(rows) - len(shown)} rows"] if len(shown) < len(rows) else [])]


def _notable(rows: Sequence[Row]) -> list[int]:
    """All rows; of more than MOST_ROWS the front, what recipes start from, the most accurate."""
    best = set(pareto(rows, FILE, ACCURACY))

    def merit(i: int) -> tuple[bool, float]:
        return i in best or rows[i]["position"] == 0, rows[i].mean.get(ACCURACY, -1.0)

    return sorted(sorted(range(len(rows)), key=merit, reverse=True)[:MOST_ROWS])


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
        [cell_of(column.head) for column in shown],
        [":---" if column.is_text else "---:" for column in shown],
        *zip(*([cell_of(cell) for cell in column.cells] for column in shown), strict=True),
    ]
    table = "".join(f"| {' | '.join(line)} |\n" for line in lines)
    return table + ("\n" + "".join(f"- {escaped(note)}\n" for note in notes) if notes else "")


def latex(rows: Sequence[Row]) -> str:
    """The same table for a paper; needs \\usepackage{booktabs}."""
    shown = columns(rows)
    lines = [[c.head for c in shown], *zip(*(c.cells for c in shown), strict=True)]
    head, *body = (" & ".join(map(tex, line)) + r" \\" for line in lines)
    kinds = "".join("l" if column.is_text else "r" for column in shown)
    start = rf"\begin{{tabular}}{{{kinds}}}", r"\toprule", head, r"\midrule"
    return "\n".join([*start, *body, r"\bottomrule", r"\end{tabular}"]) + "\n"


def tex(text: str) -> str:
    """Text as LaTeX shows it."""
    return "".join(TEX.get(sign, sign) for sign in " ".join(text.split()))


def cell_of(text: str) -> str:
    return escaped(text).replace("|", "\\|")


def escaped(text: str) -> str:
    """What Markdown shows as it stands: no line, tag or link begins in it."""
    line = " ".join(text.split("\n")).replace("](", "]\\(")
    return re.sub(r"<(?=[A-Za-z/!?])", "&lt;", line)


def table_csv(rows: Sequence[Row]) -> str:
    """One line a row in the records' keys and units: settings, n, and of each measure mean, std and
    half the 95 % interval of the mean."""
    shown = dict.fromkeys((*labels.varied(rows), *labels.headlines(rows)))
    settings = [key for key in shown if any(row[key] is not None for row in rows)]
    names = ("experiment", "data", "model", "stage")
    measured = [key for m in MEASURES for key in (m.key, f"{m.key}_std", f"{m.key}_ci95")]
    lines: list[Sequence[Value]] = [("name", *names, *settings, "n", *measured)]
    for name, row in zip(labels.stage_names(rows), rows, strict=True):
        spread = row.mean, row.std, row.half
        numbers = [of.get(measure.key) for measure in MEASURES for of in spread]
        experiment = ", ".join(row.experiments)
        identity = [experiment, *(row[key] for key in (*names[1:], *settings))]
        lines.append((name, *identity, row.n, *numbers))
    return _csv(lines)


def pairs_csv(rows: Sequence[Row], pairs: Sequence[Neighbours]) -> str:
    """One line a pair, the surest first; differences are a − b as fractions."""
    names = [name.replace("\n", ", ") for name in labels.full_names(rows)]
    heads = ("a", "b", "differs", "n", "difference", "difference_ci95", "p", "p_holm")
    lines: list[Sequence[Value]] = [heads]
    for pair in pairs:
        test = pair.test
        numbers = (test.n, test.difference, test.half, test.p, pair.holm)
        lines.append((names[pair.a], names[pair.b], pair.differs, *numbers))
    return _csv(lines)


def records_csv(records: Sequence[Record]) -> str:
    """Every record as it was written, one column a key."""
    keys = [*REQUIRED, *sorted({key for record in records for key in record} - set(REQUIRED))]
    return _csv([keys, *([*map(dict(record.items()).get, keys)] for record in records)])


def _csv(lines: Sequence[Sequence[Value]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(
        [[inert(cell) if type(cell) is str else cell for cell in line] for line in lines]
    )
    return text.getvalue()


def inert(cell: str) -> str:
    """Text that a spreadsheet would take for a formula, as the text that it is."""
    return f"'{cell}" if cell.startswith(("=", "+", "-", "@", "\t", "\r")) else cell
