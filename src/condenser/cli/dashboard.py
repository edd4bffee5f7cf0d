"""Create the W&B workspace of a project, or its JSON offline; src/dashboard.py --help"""

from __future__ import annotations

import argparse
import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from condenser.cli import common
from condenser.errors import CondenserError
from condenser.files import write_whole
from condenser.runs import records

if TYPE_CHECKING:
    from condenser.tracking.wandb_dashboard import Contents

EXAMPLES = """examples:
  python src/dashboard.py                            for the default recipe, in project condenser
  python src/dashboard.py runs/demo                  its stages, and the settings that it varied
  python src/dashboard.py runs/demo --offline        writes dashboard.json and sends nothing

Runs arrive on W&B as they train, or by `wandb sync RUN/wandb/offline-run-*`.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line. Returns 0, or 1 after a line on stderr with the error."""
    parser = common.parser("dashboard", "Make the W&B workspace of a project.", EXAMPLES)
    parser.add_argument(
        "runs", nargs="*", type=common.place, help="whose stages and settings it shows"
    )
    parser.add_argument("--project", default="condenser", help="(%(default)s)")
    parser.add_argument("--entity", help="user or team (default: yours)")
    parser.add_argument("--title", default="Condenser", help="of the workspace (%(default)s)")
    parser.add_argument("--offline", action="store_true", help="write the JSON, send nothing")
    parser.add_argument(
        "--out", type=common.place, default=Path("dashboard.json"), help="(%(default)s)"
    )
    options = parser.parse_args(arguments)
    return common.answer("dashboard", lambda: work(options))


def work(options: argparse.Namespace) -> None:
    """Save the workspace on W&B, or to a file if W&B is unavailable."""
    found = read(options.runs)
    from condenser.tracking import wandb_dashboard as dashboard

    shown = shown_of(options.runs, found) if found else dashboard.Contents()
    offline = options.offline or os.environ.get("WANDB_MODE") in ("offline", "disabled", "dryrun")
    if not offline and dashboard.can_save(os.environ.get("WANDB_MODE")):
        try:
            print(dashboard.save(options.title, options.project, options.entity, shown))
            return
        except CondenserError as error:
            write(options, shown)
            raise CondenserError(f"{error}; it is in {options.out}") from error
    write(options, shown)
    print(f"{options.out}: the workspace as JSON for W&B; nothing was sent")
    print("to create it on W&B: `wandb login`, then the same command without --offline")


def write(options: argparse.Namespace, shown: Contents) -> None:
    from condenser.tracking import wandb_dashboard as dashboard

    made = dashboard.workspace(options.title, options.project, options.entity or "ENTITY", shown)
    try:
        write_whole(options.out, dashboard.as_json(made))
    except OSError as error:
        raise CondenserError(f"{options.out}: cannot be written: {error.strerror}") from error


def read(runs: Sequence[Path]) -> list[records.Record]:
    """The records of the given runs."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", records.RecordWarning)
        return records.read(runs) if runs else []


def shown_of(runs: Sequence[Path], found: list[records.Record]) -> Contents:
    """The stages trained by these runs, and the settings that vary between them."""
    from condenser.runs import saved
    from condenser.tracking import wandb_dashboard as dashboard

    files = [file for folder in runs for file in sorted(folder.rglob(saved.FILE))]
    return dashboard.contents(found, dashboard.varied([saved.read(file) for file in files]))
