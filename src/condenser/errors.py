"""Errors a person can act on: which key, which value, what is allowed, what was probably meant."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class CondenserError(Exception):
    """Something the user can mend. Shown as one line, without a traceback."""


class ConfigError(CondenserError, ValueError):
    """A value in the config that cannot be used.

    Example: ``ConfigError("distill.temperature", 0, "a number above 0")`` reads
    ``distill.temperature=0: allowed is a number above 0``.
    """

    def __init__(self, key: str, value: object, allowed: str, hint: str = "") -> None:
        super().__init__(f"{key}={value}: allowed is {allowed}" + (f"; {hint}" if hint else ""))


class DamagedError(CondenserError):
    """A stored file whose bytes are not the ones that were written."""


def nearest(word: str, allowed: Iterable[str]) -> str:
    """The hint ``did you mean 'x'?`` for the closest allowed word, or an empty string."""
    close = get_close_matches(word, list(allowed), n=1, cutoff=0.5)
    return f"did you mean '{close[0]}'?" if close else ""


def one_of(words: Iterable[str]) -> str:
    """The sentence part that lists what is allowed: ``one of a, b, c``."""
    return "one of " + ", ".join(sorted(words))
