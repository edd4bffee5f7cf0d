"""From what hydra composed to the config of a run: plain values, every rule held."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from copy import deepcopy
from functools import lru_cache
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from condenser.config import schema
from condenser.config.error_messages import options
from condenser.errors import CondenserError, unknown
from condenser.models.sources import sources

UNREAD = "must not read the environment; write the value itself"
PLACES = ("runs", "store")  # where results lie is the machine's affair


def checked(cfg: DictConfig) -> dict[str, Any]:
    """The resolved config of a run.

    Raises:
        CondenserError: a line for each bad value.
    """
    if said := [f"{key}={value}: {UNREAD}" for key, value in reading(OmegaConf.to_container(cfg))]:
        raise CondenserError("\n".join(said))
    config: dict[str, Any] = OmegaConf.to_container(cfg, resolve=True)  # type: ignore[assignment]
    name_models(config)
    schema.check(config)
    from condenser.pipeline import recipe  # later: a bad value is named without it

    recipe.plan(config)
    return config


def reading(node: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Each key below a node whose value takes something from the environment."""
    pairs = node.items() if isinstance(node, dict) else enumerate(node)
    for key, value in pairs:
        where = f"{path}.{key}".lstrip(".")
        if isinstance(value, dict | list):
            yield from reading(value, where)
        elif isinstance(value, str) and re.search(r"\$\{\s*(oc\.)?env\s*:", value):
            yield where, value


def folder_of(config: Mapping[str, Any]) -> Path:
    """The folder of a run."""
    return Path(config["runs"]) / config["name"] / config["run"]


def inputs(config: Mapping[str, Any]) -> str | None:
    """What a run reads beside its config, told from files as they are: own source, data.

    Of data the names, sizes and times of what is below ``data.root``; whoever finds them changed
    runs again, and what the contents left as it was comes out of the store. 16 hex digits; None
    where nothing is read.
    """
    from condenser.store import key_of

    stages = config["recipe"]["stages"]
    words = {word for entry in stages for word in ([entry] if isinstance(entry, str) else entry)}
    unused = {"logger", "budget"} - words
    found = sources({key: value for key, value in config.items() if key not in unused})
    if (root := config["data"]["root"]) is not None:
        found["data.root"] = state_of(root, tuple(config[place] for place in PLACES))
    return key_of(found) if found else None


@lru_cache
def state_of(folder: str, aside: tuple[str, ...]) -> str:
    """sha256 of name, size and time of every file below but hidden ones; looked at once."""
    state, seen = hashlib.sha256(), {os.path.realpath(place) for place in aside}
    for place, inner, files in os.walk(Path(folder).expanduser(), followlinks=True):
        if (real := os.path.realpath(place)) in seen:
            inner.clear()  # results, or a link that leads in a circle
            continue
        seen.add(real)
        inner[:] = sorted(name for name in inner if not name.startswith("."))
        for name in sorted(name for name in files if not name.startswith(".")):
            with suppress(OSError):
                found = os.stat(os.path.join(place, name))
                line = f"{name} {found.st_size} {found.st_mtime_ns}\n"
                state.update(os.fsencode(line))
    return state.hexdigest()


def digest(config: Mapping[str, Any]) -> str:
    """What a finished run is known by: 16 hex digits of its whole config, places aside."""
    from condenser.pipeline import recipe
    from condenser.store import key_of

    rest = {key: value for key, value in config.items() if key not in PLACES}
    return key_of({**rest, "version": recipe.VERSION})


def mark(config: Mapping[str, Any]) -> str:
    """What a run's results are known by: 16 hex digits of all that may change one.

    Who is told of them, and how, does not.
    """
    from condenser.store import key_of

    told = ("logger", "claim")
    rest = {key: value for key, value in config.items() if key not in told}
    pace = ("progress", "checkpoint_seconds")
    rest["trainer"] = {k: v for k, v in config["trainer"].items() if k not in pace}
    return key_of({"config": digest(rest), "sources": sources(rest)})


def name_models(config: dict[str, Any]) -> None:
    """``{distill: {model: lenet5}}`` in a recipe means the whole of conf/model/lenet5.yaml."""
    for position, entry in enumerate(config["recipe"]["stages"]):
        for word, overrides in entry.items() if isinstance(entry, dict) else ():
            name = overrides.get("model") if isinstance(overrides, dict) else None
            if isinstance(name, str):
                key = f"recipe.stages[{position}].{word}.model"
                overrides["model"] = model_named(name, key)


def model_named(name: str, key: str) -> dict[str, Any]:
    """The network that conf/model calls so."""
    if name not in options("model"):
        raise CondenserError(unknown(f"{key}={name}", name, options("model")))
    return deepcopy(_model(name))


@lru_cache
def _model(name: str) -> dict[str, Any]:
    from hydra import compose

    cfg = compose("train", [f"model@student.model={name}", f"run={name}"])
    return OmegaConf.to_container(cfg.student.model, resolve=True)  # type: ignore[return-value]
