"""What the scripts beside train.py share: how they describe themselves, and how they end."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable

from condenser.errors import CondenserError, printable
from condenser.runs import disk, interrupts


def parser(description: str, epilog: str) -> argparse.ArgumentParser:
    """A command line whose examples stand as they were written."""
    return argparse.ArgumentParser(
        description=description,
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def trusting(parser: argparse.ArgumentParser) -> None:
    """``--trust``: what a stored file may name beside what is condenser's own."""
    parser.add_argument(
        "--trust",
        nargs="+",
        default=[],
        metavar="PACKAGE",
        help="whose code a stored file may name: mypackage, or mypackage.Net",
    )


def answer(name: str, work: Callable[[], int | None], mistake: int = 1) -> int:
    """Do the work. Returns what it returns, 0 for nothing, or ``mistake`` after the lines on
    stderr that say what to mend."""
    try:
        with interrupts.in_order(name):
            status = work() or 0
            sys.stdout.flush()
    except CondenserError as error:
        print(f"{name}: {printable(str(error))}", file=sys.stderr)
        return mistake
    except interrupts.Interrupted as error:
        return error.status
    except BrokenPipeError:  # its reader, such as head, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        said = disk.said(error)
        if said is None:
            raise
        print(f"{name}: {printable(said)}", file=sys.stderr)
        return mistake
    return status
