"""The setting ``distill.divergence``: which one, with which settings."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from condenser.errors import ConfigError, NoSuchKeyError, UnknownError, positive
from condenser.functional.divergences import BY_NAME, Divergence

KEY = "distill.divergence"
SETTINGS: Mapping[str, tuple[str, ...]] = {
    "jensen_shannon": ("beta",),
    "skew": ("weight",),
    "skew_reverse": ("weight",),
    "alpha_beta": ("alpha", "beta"),
}


def divergence_of(chosen: str | Mapping[str, Any]) -> Divergence:
    """The one that ``skew``, or with settings of its own ``{skew: {weight: 0.2}}``, means.

    Raises:
        ConfigError: no such divergence or setting, or a value out of range.
    """
    entry = {chosen: {}} if isinstance(chosen, str) else dict(chosen)
    if len(entry) != 1:
        raise ConfigError(KEY, chosen, "a name, or one with its settings, as {skew: {weight: 0.1}}")
    ((name, settings),) = entry.items()
    if name not in BY_NAME:
        raise UnknownError(KEY, name, BY_NAME)
    known = SETTINGS.get(name, ())
    for key, value in (settings or {}).items():
        if key not in known:
            raise NoSuchKeyError(f"{KEY}.{name}.{key}", known)
        place = f"{KEY}.{name}.{key}"
        if positive(place, value) >= 1 and name != "alpha_beta":
            raise ConfigError(place, value, "a number above 0 and below 1")
    return partial(BY_NAME[name], **settings) if settings else BY_NAME[name]
