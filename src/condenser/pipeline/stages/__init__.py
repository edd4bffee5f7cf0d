"""The stages of a recipe, one a file; a file's name is the stage's word."""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules

from condenser.errors import UnknownError
from condenser.pipeline.stages.base import RunContext, Stage, StageInputs, StageResult

__all__ = ["RunContext", "Stage", "StageInputs", "StageResult", "find", "words"]


def words() -> list[str]:
    """Every stage there is."""
    helpers = {"base", "training", "compression", "baseline", "pairs"}
    return sorted(m.name for m in iter_modules(__path__) if m.name not in helpers)


def find(word: str, key: str) -> type[Stage]:
    """The class of a stage by its word; ConfigError naming ``key`` where there is none."""
    if word not in words():
        raise UnknownError(key, word, sorted([*words(), "budget"]))
    module = import_module(f"condenser.pipeline.stages.{word}")
    return next(
        kind
        for kind in vars(module).values()
        if isinstance(kind, type) and issubclass(kind, Stage) and kind.__module__ == module.__name__
    )
