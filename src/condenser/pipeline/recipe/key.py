"""Everything that determines a stage's result, the models that it is given aside."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from condenser.models.sources import sources
from condenser.pipeline.stages import RunContext, Stage

VERSION = 7  # of what stages compute: raise it when the same settings give another result


def ingredients(stage: Stage, ctx: RunContext) -> dict[str, Any]:
    """Of what the stage makes of the models that it is given."""
    return {
        "version": VERSION,
        "stage": stage.word,
        "settings": stage.ingredients(),
        "seed": stage.seed,
        "data": ctx.data.fingerprint,
        "code": code(stage),
        "numerics": numerics(ctx),
    }


def but_for_the_seed(found: Mapping[str, Any]) -> dict[str, Any]:
    """What repeats with other seeds have in common."""
    rest = {key: value for key, value in found.items() if key != "seed"}
    return {**rest, "settings": without_seeds(found["settings"])}


def without_seeds(settings: Any) -> Any:
    """The settings but for every ``seed`` in them."""
    if isinstance(settings, Mapping):
        return {k: without_seeds(value) for k, value in settings.items() if k != "seed"}
    return settings


def together(keys: Iterable[str]) -> str | None:
    """The teachers' keys as one word."""
    return "+".join(keys) or None


def code(stage: Stage) -> dict[str, str]:
    """The user's own source that takes part, and the versions of what is installed."""
    return sources([stage.ingredients(), stage.config["data"]])


def numerics(ctx: RunContext) -> dict[str, Any]:
    """What changes the bits of a result without being asked for in the recipe."""
    from importlib import metadata

    from condenser import measure

    own, size = ctx.trainer, ctx.team.size
    found = {
        **measure.arithmetic(measure.device_kind(own["accelerator"])),
        "lightning": metadata.version("pytorch-lightning"),
        "precision": own["precision"],
        "deterministic": bool(own["deterministic"]),
        "compile": ctx.compile,
        "processes": size,
    }
    if size == 1:
        return found  # how several would share the work changes nothing
    shared = ("num_nodes", "tensor_parallel_size", "sync_batchnorm")
    strategy = {"auto": "ddp"}.get(own["strategy"], own["strategy"])
    return found | {"strategy": strategy, **{key: own[key] for key in shared}}
