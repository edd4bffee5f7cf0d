"""From what hydra composed to the plan of a run: plain values, every rule held."""

from __future__ import annotations

import re
from collections.abc import Iterator
from copy import deepcopy
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf

from condenser.config import huggingface, schema
from condenser.config.error_messages import options
from condenser.errors import CondenserError, unknown

if TYPE_CHECKING:
    from condenser.pipeline.plan import Plan

UNREAD = "must not read the environment; write the value itself"


def checked(cfg: DictConfig) -> Plan:
    """The plan of a run, from what hydra composed.

    Raises:
        CondenserError: a line for each bad value.
    """
    if said := [f"{key}={value}: {UNREAD}" for key, value in reading(OmegaConf.to_container(cfg))]:
        raise CondenserError("\n".join(said))
    config: dict[str, Any] = OmegaConf.to_container(cfg, resolve=True)  # type: ignore[assignment]
    name_models(config)
    schema.check(config)
    from condenser.pipeline.plan import make_plan  # later: a bad value is named without it

    return make_plan(config)


def reading(node: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Each key below a node whose value takes something from the environment."""
    pairs = node.items() if isinstance(node, dict) else enumerate(node)
    for key, value in pairs:
        where = f"{path}.{key}".lstrip(".")
        if isinstance(value, dict | list):
            yield from reading(value, where)
        elif isinstance(value, str) and re.search(r"\$\{\s*(oc\.)?env\s*:", value):
            yield where, value


def name_models(config: dict[str, Any]) -> None:
    """``{distill: {model: lenet5}}`` in a recipe means the whole of conf/model/lenet5.yaml, and a
    folder of Hugging Face what its config.json says."""
    for role in ("teacher", "student"):
        huggingface.inline(config[role]["model"], f"{role}.model")
    for position, entry in enumerate(config["recipe"]["stages"]):
        for word, overrides in entry.items() if isinstance(entry, dict) else ():
            name = overrides.get("model") if isinstance(overrides, dict) else None
            if isinstance(name, str):
                key = f"recipe.stages[{position}].{word}.model"
                overrides["model"] = model_named(name, key)
            elif isinstance(name, dict):
                huggingface.inline(name, f"recipe.stages[{position}].{word}.model")


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
