"""From records to what people look at: a page, the table, curves, CSV and Markdown.

Everything here is made from records alone, by pure functions; only write and read touch the disk.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from condenser.errors import CondenserError
from condenser.files import write_files
from condenser.report.analysis.labels import ordered
from condenser.report.analysis.sheets import Sheet
from condenser.report.analysis.table import Row, rows
from condenser.report.analysis.training import Curve
from condenser.runs.records import Record

if TYPE_CHECKING:
    from condenser.report.figures.description import Column, Figure

__all__ = ["PAGE", "Report", "Row", "ordered", "rows", "write"]

PAGE = "report.html"
USUAL_X = ("size/file_bytes", "size/params", "size/nonzero", "compute/macs")
USUAL_Y = ("test/accuracy", "val/accuracy")
DRAWN = ("behaviour", "curve", "heat", "layers", "methods", "training")
FIGURES = tuple(f"{name}.{kind}" for name in DRAWN for kind in ("png", "svg"))
Files = dict[str, tuple[bytes | str, str]]
"""name → (content, what it shows)"""


@dataclass(frozen=True)
class Report:
    """What was made: the table's rows in reading order, what is to be known of them, and each file
    with what it shows."""

    rows: list[Row]
    notes: list[str]
    files: dict[Path, str]


def write(
    records: Sequence[Record],
    out: Path,
    x: str | None = None,
    y: str | None = None,
    curves: Sequence[Curve] = (),
    skipped: Sequence[str] = (),
    sheets: Sequence[Sheet] = (),
) -> Report:
    """Write report.html, curve.png, curve.svg, table.csv, .md and .tex and records.csv into the
    folder out, and figures of methods, maps, layers and training where there is something to draw.

    x and y are record keys of numbers, the curve's axes; None: bytes of the file and test
    accuracy, or the next best that was measured. curves is what training left beside the records;
    skipped what could not be read, to be said; sheets the pictures beside them. Raises
    CondenserError if no record has both an x and a y that were asked for, or if the folder cannot
    be written.
    """
    from condenser.report import text
    from condenser.report.analysis import checks, pairs
    from condenser.report.figures import behaviour, curve
    from condenser.report.page import page
    from condenser.report.page.content import choosable, content

    table = ordered(rows(records))
    x, y = axes(table, x, y)
    xs, ys = choosable(table, x, y)
    quantities = curve.columns(table, (*xs, *ys, *behaviour.keys(table)))
    figures = described(table, curves, xs, ys, x, y)
    tests = pairs.tested(table)
    beside = pairs.neighbours(table, tests)
    notes = [*checks.notes(table), *pairs.summary(beside)]
    shown = content(table, figures, quantities, skipped, tests, sheets)
    files: Files = {
        PAGE: (page(shown), "everything, to be looked at in a browser; needs no network"),
        **drawn(table, figures, quantities, x, y),
        "table.csv": (text.table_csv(table), "mean, std and interval of every row"),
        "table.md": (text.markdown(table, notes), "the table with its notes"),
        "table.tex": (text.latex(table), "the table for LaTeX, with booktabs"),
        "comparisons.csv": (text.pairs_csv(table, beside), "does A beat B: paired tests"),
        "records.csv": (text.records_csv(records), f"all {len(records)} records"),
    }
    try:
        write_files({out / name: files[name][0] for name in sorted(files, key=PAGE.__eq__)})
        for name in {*FIGURES} - files.keys():
            (out / name).unlink(missing_ok=True)  # of an earlier report, no longer true
    except OSError as error:
        why = f"cannot write the report: {error.strerror}; --out FOLDER puts it elsewhere"
        raise CondenserError(f"{out}: {why}") from error
    return Report(table, notes, {out / name: shows for name, (_, shows) in files.items()})


def axes(table: Sequence[Row], x: str | None, y: str | None) -> tuple[str | None, str | None]:
    """What was asked for, or of the usual axes the first that records have."""
    from condenser.report.figures import curve

    best = y or next((k for k in USUAL_Y if any(k in row.mean for row in table)), None)
    here = [row for row in table if best in row.mean]
    found = x or next((k for k in USUAL_X if any(k in row.mean for row in here)), None)
    if x or y:
        curve.drawable(table, found or USUAL_X[0], best or USUAL_Y[0])
    return found, best


def described(
    table: Sequence[Row],
    curves: Sequence[Curve],
    xs: Sequence[str],
    ys: Sequence[str],
    x: str | None,
    y: str | None,
) -> dict[str, Figure]:
    """The figures that there are, for paper and page alike."""
    from condenser.report.figures import behaviour, curve, others

    found = {"layers": others.by_layer(table), "training": others.training(table, curves)}
    found["behaviour"] = behaviour.describe(table)
    if y is not None:
        found["heat"] = others.maps(table, ys, y)
        found["curve"] = curve.describe(table, xs, ys, x, y)
    return {name: figure for name, figure in found.items() if figure is not None}


def drawn(
    table: Sequence[Row],
    figures: Mapping[str, Figure],
    columns: Mapping[str, Column],
    x: str | None,
    y: str | None,
) -> Files:
    """The figures on paper, each as PNG and SVG."""
    from condenser.report.figures import paper, plates

    files: Files = {}
    for name, (figure, shows) in plates.plates(table, figures, columns, x, y).items():
        files[f"{name}.png"] = paper.image(figure, "png"), shows
        files[f"{name}.svg"] = paper.image(figure, "svg"), "the same, for papers"
    return files
