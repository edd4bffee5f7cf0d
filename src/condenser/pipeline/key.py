"""What determines a run's results and a stage's, as hashes that they are known by."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from condenser.outside.sources import sources
from condenser.store import key_of

if TYPE_CHECKING:
    from condenser.pipeline.stages import RunContext, Stage

VERSION = 8  # of what stages compute: raise it when the same settings give another result
PLACES = ("runs", "store")  # where results lie is the machine's affair


def folder_of(config: Mapping[str, Any]) -> Path:
    """The folder of a run."""
    return Path(config["runs"]) / config["name"] / config["run"]


def inputs(config: Mapping[str, Any]) -> str | None:
    """What a run reads beside its config, told from files as they are: own source, data.

    Of data the names, sizes and times of what is below ``data.root``; whoever finds them changed
    runs again, and what the contents left as it was comes out of the store. 16 hex digits; None
    where nothing is read.
    """
    found = others(config)
    if (root := config["data"]["root"]) is not None:
        found["data.root"] = state_of(root, tuple(config[place] for place in PLACES))
    return key_of(found) if found else None


def others(config: Mapping[str, Any]) -> dict[str, str]:
    """The code that is not ours and takes part in a run; see ``sources``."""
    entries = config["recipe"]["stages"]
    words = {word for entry in entries for word in ([entry] if isinstance(entry, str) else entry)}
    unused = {"logger", "budget"} - words
    return sources({key: value for key, value in config.items() if key not in unused})


@lru_cache
def state_of(folder: str, aside: tuple[str, ...]) -> str:
    """sha256 of name, size and time of the file, or of every file below but hidden ones; looked at
    once."""
    if (file := Path(folder).expanduser()).is_file():
        found = file.stat()
        line = f"{file.name} {found.st_size} {found.st_mtime_ns}"
        return hashlib.sha256(os.fsencode(line)).hexdigest()
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
    absent = () if config.get("measure") else ("measure",)  # a run that asks for none is as before
    rest = {key: value for key, value in config.items() if key not in (*PLACES, *absent)}
    return key_of({**rest, "version": VERSION})


def mark(config: Mapping[str, Any]) -> str:
    """What a run's results are known by: 16 hex digits of all that may change one.

    Who is told of them, and how, does not.
    """
    told = ("logger", "claim")
    rest = {key: value for key, value in config.items() if key not in told}
    pace = ("progress", "checkpoint_seconds")
    rest["trainer"] = {k: v for k, v in config["trainer"].items() if k not in pace}
    return key_of({"config": digest(rest), "sources": sources(rest)})


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
    own = {"_target_": f"{type(stage).__module__}.{type(stage).__qualname__}"}
    return sources([own, stage.ingredients(), stage.config["data"]])


def numerics(ctx: RunContext) -> dict[str, Any]:
    """What changes the bits of a result without being asked for in the recipe."""
    from condenser import measure

    own, size = ctx.trainer, ctx.process_group.size
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
