"""User-facing errors: the key, its value, what is allowed, the nearest spelling."""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import get_close_matches
from math import inf, nan

# control and bidirectional characters: terminal commands, or reordered display
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
LONGEST = 200  # characters of a value that are shown


class CondenserError(Exception):
    """An error the user can fix; shown as one line, without a traceback."""


class ConfigError(CondenserError, ValueError):
    """An invalid value in the config.

    Example: ``ConfigError("distill.temperature", 0, "> 0")`` reads
    ``distill.temperature=0: must be > 0``.
    """

    def __init__(self, key: str, value: object, allowed: str, hint: str = "") -> None:
        tail = f"; {hint}" if hint else ""
        super().__init__(f"{key}={shown(value)}: must be {allowed}{tail}")


class UnknownError(ConfigError):
    """An unknown choice: ``distill=kdd: unknown; did you mean kd? (choices: ab, …)``."""

    def __init__(self, key: str, value: object, choices: Iterable[str]) -> None:
        CondenserError.__init__(self, unknown(f"{key}={shown(value)}", str(value), choices))


class NoSuchKeyError(ConfigError):
    """``prune.rat: no such key; did you mean rate? (choices: …)``."""

    def __init__(self, key: str, choices: Iterable[str], what: str = "no such key") -> None:
        CondenserError.__init__(self, unknown(key, key.rpartition(".")[2], choices, what))


class DamagedError(CondenserError):
    """A stored file that is corrupt: its bytes are not the ones that were written."""


def nearest(word: str, allowed: Iterable[str]) -> str:
    """The hint ``did you mean x?`` for the closest allowed word, or an empty string."""
    close = get_close_matches(word, list(allowed), n=1, cutoff=0.5)
    return f"did you mean {close[0]}?" if close else ""


def one_of(words: Iterable[str]) -> str:
    """The sentence part that lists what is allowed: ``one of a, b, c``."""
    return "one of " + ", ".join(sorted(words))


def unknown(subject: str, word: str, choices: Iterable[str], what: str = "unknown") -> str:
    """``subject: unknown; did you mean …? (choices: …)``."""
    known = sorted(choices)
    hint = nearest(word, known)
    return f"{subject}: {what}; {hint} (choices: {', '.join(known)})".replace(";  (", " (")


def shown(value: object) -> str:
    """A value in one line, as YAML spells it, cut where it is long."""
    plain = {None: "null", True: "true", False: "false"}
    is_word = value is None or isinstance(value, bool)
    text = plain[value] if is_word else str(value)  # type: ignore[index]
    text = "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"


def printable(text: str) -> str:
    """Untrusted text made safe to print on a terminal."""
    return CONTROL.sub("\ufffd", text)


def count(key: str, value: int, otherwise: str = "") -> int:
    """``value`` if it is a whole number of at least 1, else a ConfigError."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ConfigError(key, value, f"a whole number of at least 1{otherwise}")
    return value


def positive(key: str, value: float) -> float:
    """``value`` if it is finite and above 0, else a ConfigError."""
    return _within(key, value, 0 < _real(value) < inf, "a finite number above 0")


def nonnegative(key: str, value: float) -> float:
    """``value`` if it is finite and at least 0, else a ConfigError."""
    return _within(key, value, 0 <= _real(value) < inf, "a finite number of at least 0")


def fraction(key: str, value: float) -> float:
    """``value`` if it is from 0 to 1, else a ConfigError."""
    return _within(key, value, 0 <= _real(value) <= 1, "a number from 0 to 1")


def below_one(key: str, value: float) -> float:
    """``value`` if it is from 0 up to, not including, 1, else a ConfigError."""
    return _within(key, value, 0 <= _real(value) < 1, "a number from 0 up to, not including, 1")


def _within(key: str, value: float, fits: bool, allowed: str) -> float:
    if not fits:
        raise ConfigError(key, value, allowed)
    return value


def _real(value: object) -> float:
    """NaN, which lies between no bounds, for what is no number."""
    return value if isinstance(value, int | float) and not isinstance(value, bool) else nan
