"""Report on finished runs: page, tables and curves; ``python src/report.py --help``."""

from __future__ import annotations

import argparse
import os
import sys
import warnings
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from condenser.cli import common
from condenser.errors import printable
from condenser.runs import ownership, records

if TYPE_CHECKING:
    from condenser.report import Report

EXAMPLES = """examples:
  python src/report.py runs/deep_compression --open
  python src/report.py runs/deep_compression --x compute/macs --out /tmp/report
  python src/report.py runs/a runs/b/seed=0/records.jsonl --x latency/ms_b1

x and y are any numbers of the records: size/file_bytes, size/params, size/nonzero, compute/macs,
latency/ms_b1, distill/temperature …; test/accuracy, val/accuracy, teacher/agreement, test/ece …
"""
MOST_WARNINGS = 5
PIPE_WIDTH = 200  # a pipe or a file has no width limit


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line. Returns 0, or 2 after one line on stderr with the error."""
    options = _parser().parse_args(arguments)
    work = partial(_report, options.path, options.out, options.x, options.y, options.open)
    return common.answer("report", work, mistake=2)


def _parser() -> argparse.ArgumentParser:
    parser = common.parser(
        "report", "Print the table of finished runs; write it as a page, and as files.", EXAMPLES
    )
    parser.add_argument(
        "path",
        nargs="+",
        type=common.place,
        help="records.jsonl, or a folder of runs with such files below it",
    )
    parser.add_argument(
        "--out",
        type=common.place,
        help="where the files go (default: the first path, or the folder it is in)",
    )
    parser.add_argument("--x", help="default: size/file_bytes")
    parser.add_argument("--y", help="default: test/accuracy")
    parser.add_argument("--open", action="store_true", help="show the page in a browser")
    return parser


def _report(
    paths: list[Path], out: Path | None, x: str | None, y: str | None, open_it: bool
) -> None:
    found, skipped = _read(paths)
    from condenser import report
    from condenser.report.analysis import sheets, training

    by_file = {file: list(of_file.values()) for file, of_file in found.items()}
    curves, pictures = training.read(by_file), sheets.read(by_file)
    folder = out or _folder(paths[0])
    _print(report.write(records.unique(found), folder, x, y, curves, skipped, pictures))
    if open_it:
        _open(folder / report.PAGE)


def _read(paths: list[Path]) -> tuple[dict[Path, dict[str, records.Record]], list[str]]:
    """The records by file, and warnings about skipped files, also printed to stderr."""
    with warnings.catch_warnings(record=True) as skipped:
        warnings.simplefilter("always", records.RecordWarning)
        try:
            found = records.by_file(paths)
            for file, of_file in found.items():
                if said := ownership.mixed(file.parent, of_file.values()):
                    warnings.warn(said, records.RecordWarning, stacklevel=2)
            return found, [str(warning.message) for warning in skipped]
        finally:
            for warning in skipped[:MOST_WARNINGS]:
                print(f"warning: {printable(str(warning.message))}", file=sys.stderr)
            if len(skipped) > MOST_WARNINGS:
                print(f"warning: and {len(skipped) - MOST_WARNINGS} more", file=sys.stderr)


def _open(page: Path) -> None:
    import webbrowser

    if not webbrowser.open(page.resolve().as_uri()):
        print(f"report: no browser was found; open {page} in one", file=sys.stderr)


def _folder(path: Path) -> Path:
    return path if path.is_dir() else path.parent


def _print(made: Report) -> None:
    from rich.console import Console

    from condenser.report import text

    console = Console(highlight=False, markup=False, emoji=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = PIPE_WIDTH
    table, hidden = text.terminal(made.rows, console.width)
    console.print(table)
    notes = list(made.notes)
    if hidden:
        notes.append(f"not shown here: {', '.join(hidden)}; all is in table.md")
    console.print()
    for line in (*notes, *(f"{path}  {shows}" for path, shows in made.files.items())):
        console.print(printable(line), soft_wrap=True)
