"""What is said of a network that fails: its name, the step, why, what would mend it."""

from __future__ import annotations

import sysconfig
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from condenser.errors import CondenserError

OURS = Path(__file__).resolve().parents[2]
PYTHONS = Path(sysconfig.get_path("stdlib"))
LONGEST = 300  # letters of an exception's own words


@contextmanager
def step(named: str, what: str, mend: str = "") -> Iterator[None]:
    """Whatever is raised inside becomes ``named: what: why`` in one line.

    ``mend`` is added to what is not said in words of ours.
    """
    try:
        yield
    except CondenserError as error:
        raise CondenserError(f"{named}: {what}: {error}") from error
    except Exception as error:
        more = f"; {mend}" if mend else ""
        raise CondenserError(f"{named}: {what}: {reason(error)}{more}") from error


def reason(error: Exception) -> str:
    """Its own words, and where in the user's code it was raised."""
    text = " ".join(str(error).split())[:LONGEST]
    said = f"{type(error).__name__}: {text}" if text else type(error).__name__
    place = where(error)
    return f"{said} ({place})" if place else said


def where(error: Exception) -> str:
    """``nets.py:12``: the innermost line that is neither ours nor an installed package's."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        file = Path(frame.filename)
        foreign = "site-packages" in file.parts or not {OURS, PYTHONS}.isdisjoint(file.parents)
        if file.is_file() and not foreign:
            return f"{file.name}:{frame.lineno}"
    return ""


def refuse(named: str, what: str) -> None:
    raise CondenserError(f"{named}: {what}")
