"""The stages of a recipe; a class of its own, here or in a module of yours, adds one.

One from outside is a section of the config that names the class: ``+freeze._target_=mine.Freeze``,
used as ``recipe=[teacher,freeze]``.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import import_module
from inspect import isabstract
from pkgutil import iter_modules
from typing import Any

from condenser.errors import ConfigError, UnknownError
from condenser.pipeline.stages.base import RunContext, Stage, StageInputs, StageResult

__all__ = ["RunContext", "Stage", "StageInputs", "StageResult", "find", "words"]


@cache
def shipped() -> dict[str, type[Stage]]:
    """Every stage of this package by its word, baselines aside: a recipe does not name those."""
    modules = [import_module(f"{__name__}.{module.name}") for module in iter_modules(__path__)]
    found = [value for module in modules for value in vars(module).values() if is_stage(value)]
    return {kind.word: kind for kind in found if kind.kind != "baseline" and "word" in vars(kind)}


def is_stage(value: object) -> bool:
    return isinstance(value, type) and issubclass(value, Stage)


def words() -> list[str]:
    """What a recipe may name: the stages of this package, and a search."""
    return sorted([*shipped(), "budget"])


def find(word: str, key: str, config: Mapping[str, Any]) -> type[Stage]:
    """The class of a stage by its word: ours, or the one that its section of the config names.

    Raises:
        ConfigError: there is none; ``key`` says where it is asked for.
    """
    if word in shipped():
        return shipped()[word]
    section = config.get(word)
    if isinstance(section, Mapping) and "_target_" in section:
        return from_outside(word, str(section["_target_"]))
    raise UnknownError(key, word, words())


def from_outside(word: str, target: str) -> type[Stage]:
    """The stage that this dotted path names; ConfigError where it is none, or of another word."""
    module, _, name = target.rpartition(".")
    allowed = f"a condenser.pipeline.stages.Stage whose word is {word}"
    try:
        found: Any = getattr(import_module(module), name)
    except Exception as error:  # whatever its module does when it is imported
        said = " ".join(f"{type(error).__name__}: {error}".split())
        raise ConfigError(f"{word}._target_", target, allowed, said) from error
    if not is_stage(found) or getattr(found, "word", None) != word:
        raise ConfigError(f"{word}._target_", target, allowed)
    if isabstract(found):
        lacks = ", ".join(sorted(found.__abstractmethods__))
        raise ConfigError(f"{word}._target_", target, allowed, f"it lacks {lacks}")
    kind: type[Stage] = found
    return kind
