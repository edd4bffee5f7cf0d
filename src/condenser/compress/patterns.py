"""Layer name patterns in settings, as in ``exclude: [fc1, layer1.*]``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from fnmatch import fnmatchcase
from itertools import accumulate

from condenser.errors import ConfigError, nearest

SHOWN = 12  # names that an error lists


def listed(key: str, patterns: object) -> list[str]:
    """The patterns of a setting; a single word is one.

    Raises:
        ConfigError: it is neither, naming ``key``.
    """
    found = [patterns] if isinstance(patterns, str) else patterns
    if not isinstance(found, Sequence) or not all(isinstance(p, str) and p for p in found):
        raise ConfigError(key, patterns, f"a list of patterns of layer names, as in {key}=[fc1]")
    return list(found)


def matches(name: str, patterns: Iterable[str]) -> bool:
    """Whether a pattern matches the layer, or a module that it lies in.

    So ``layer1`` is all of it, and ``fc1`` is ``fc1.reduce`` and ``fc1.expand`` too, once it has
    been factorised.
    """
    return any(fnmatchcase(part, pattern) for pattern in patterns for part in around(name))


def around(name: str) -> Iterator[str]:
    """``a``, ``a.b``, ``a.b.c`` of ``a.b.c``."""
    return accumulate(name.split("."), lambda outer, inner: f"{outer}.{inner}")


def refuse_unmatched(
    key: str, patterns: Sequence[str], names: Sequence[str], more: Sequence[str] = ()
) -> None:
    """ConfigError for a pattern that matches none of the names, with the names there are.

    Args:
        more: names that it may match too.
    """
    for pattern in patterns:
        if not any(matches(name, [pattern]) for name in (*names, *more)):
            rest = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
            layers = ", ".join(names[:SHOWN]) + rest
            allowed = f"a pattern that matches a layer; there are {layers or 'none'}"
            raise ConfigError(key, pattern, allowed, nearest(pattern, names))
