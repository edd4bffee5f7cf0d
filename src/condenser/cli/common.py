"""Shared by the commands beside train: argument parsing and error handling."""

from __future__ import annotations

import argparse
import os
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from condenser.errors import CondenserError, printable
from condenser.runs import disk, interrupts
from condenser.runs.started import as_typed, clone


class Parser(argparse.ArgumentParser):
    """Answers a mistake in one line."""

    def error(self, message: str) -> NoReturn:
        name = self.prog.removeprefix("condenser ").partition(" ")[0].removesuffix(".py")
        self.exit(2, f"{name}: {printable(message)}; {self.prog} --help\n")


def parser(name: str, description: str, epilog: str) -> argparse.ArgumentParser:
    """An argument parser that keeps the examples' formatting."""
    return Parser(
        prog=None if clone() else f"condenser {name}",
        description=description,
        epilog=as_typed(epilog),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def place(text: str) -> Path:
    """A path of the command line; an empty one, as of a variable that is not set, is none."""
    if not text:
        raise argparse.ArgumentTypeError("must be a file or a folder, not empty")
    return Path(text)


def trusting(parser: argparse.ArgumentParser) -> None:
    """``--trust``: packages that a stored file may name beside condenser's own."""
    parser.add_argument(
        "--trust",
        nargs="+",
        default=[],
        metavar="PACKAGE",
        help="whose code a stored file may name: mypackage, or mypackage.Net",
    )


def answer(name: str, work: Callable[[], int | None], mistake: int = 1) -> int:
    """Run ``work``; returns its result or 0, or ``mistake`` after printing the error to stderr."""

    def warned(message: Warning | str, *_: Any, **__: Any) -> None:
        print(f"warning: {printable(str(message))}", file=sys.stderr)

    try:
        with interrupts.in_order(name), warnings.catch_warnings():
            warnings.showwarning = warned
            status = work() or 0
            sys.stdout.flush()
    except CondenserError as error:
        print(f"{name}: {printable(as_typed(str(error)))}", file=sys.stderr)
        return mistake
    except interrupts.Interrupted as error:
        return error.status
    except BrokenPipeError:  # the reader, such as head, closed the pipe
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        said = disk.said(error)
        if said is None:
            raise
        print(f"{name}: {printable(said)}", file=sys.stderr)
        return mistake
    return status
