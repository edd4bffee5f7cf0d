"""A composed config held against what it may hold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from condenser.config.schema.base import Open, Section
from condenser.config.schema.limits import beyond
from condenser.config.schema.problems import problems
from condenser.config.schema.run import Config
from condenser.errors import CondenserError

WHOLE = ("experiment", "debug")  # folders of conf whose files speak of the whole config


def check(config: Mapping[str, Any]) -> None:
    """Every problem of a resolved config at once, one line each.

    Raises:
        CondenserError: naming key, value and what is allowed of each bad value.
    """
    for folder in WHOLE:
        if config.get(folder):
            raise CondenserError(headless(folder))
    own = outside_stages(config)
    for word in own:
        check_as(Open, config[word], f"{word}.")
    check_as(Config, {key: value for key, value in config.items() if key not in own}, "")


def outside_stages(config: Mapping[str, Any]) -> list[str]:
    """The words of the recipe whose sections name a class and are none of ours."""
    recipe = config.get("recipe")
    entries = recipe.get("stages") if isinstance(recipe, Mapping) else None
    listed = entries if isinstance(entries, list) else []
    found = [str(w) for e in listed for w in (e if isinstance(e, Mapping) else [e])]
    own = [word for word in dict.fromkeys(found) if word not in Config.model_fields]
    return [w for w in own if isinstance(config.get(w), Mapping) and "_target_" in config[w]]


def headless(folder: str) -> str:
    """What to say of a file whose keys were put below its folder's name."""
    return f"conf/{folder}: a file there begins with '# @package _global_'; the chosen one does not"


def check_as(kind: type[Section], values: Mapping[str, Any], prefix: str) -> None:
    """The same for any mapping; ``prefix`` goes before its keys."""
    found = list(problems(kind, values, prefix))
    named = {line.partition("=")[0] for line in found}
    every = beyond(values, prefix.rstrip("."))
    beside = [line for line in every if line.partition("=")[0] not in named]
    if found := [*found, *beside]:
        raise CondenserError("\n".join(found))


def check_section(name: str, section: Mapping[str, Any], where: str) -> None:
    """The same for a stage's section after a recipe entry's overrides; ``where`` prefixes keys."""
    if kind := _sections().get(name):
        check_as(kind, section, f"{where}{name}.")


def of_stage(name: str, section: Mapping[str, Any]) -> dict[str, Any]:
    """What the stage itself needs of its section: what is left when another class takes it over."""
    kind = _sections().get(name, Section)
    needed = {word for word, field in kind.model_fields.items() if field.is_required()}
    return {key: value for key, value in section.items() if key in needed}


def _sections() -> dict[str, type[Section]]:
    kinds = {name: field.annotation for name, field in Config.model_fields.items()}
    return {n: k for n, k in kinds.items() if isinstance(k, type) and issubclass(k, Section)}
