"""The command line: hydra composes, every mistake becomes a line that a person can act on."""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException, OverrideParseException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from condenser import recipe, schema
from condenser.errors import CondenserError, nearest, one_of

CONF = Path(__file__).resolve().parents[2] / "conf"
BESIDE = ("experiment", "name", "runs", "store", "claim", "data.root")  # not in a run's name


def main() -> None:
    """Run ``task`` under hydra. Mistakes of the user end in one line each and exit code 1."""
    os.environ["HYDRA_FULL_ERROR"] = "1"  # hydra hands exceptions on instead of printing them
    # OpenMP's threads wait by spinning: two jobs on the same cores would take twenty times as long
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    OmegaConf.register_new_resolver("run_name", run_name, replace=True)
    sys.argv[1:] = [lists_are_stages(word) for word in sys.argv[1:]]
    try:
        hydra.main(version_base="1.3", config_path=str(CONF), config_name="train")(task)()
    except (CondenserError, HydraException, OmegaConfBaseException) as error:
        fail(explain(error))
    except KeyboardInterrupt:
        fail("stopped; the same command goes on where it was")


def task(cfg: DictConfig) -> None:
    """One job: check the whole config, then run it."""
    try:
        config = checked(cfg)
        from condenser.run import run

        run(config, command(HydraConfig.get().overrides.task))
    except CondenserError as error:
        with suppress(OSError):  # hydra made the folder; what never started leaves no trace
            Path(HydraConfig.get().runtime.output_dir).rmdir()
        if HydraConfig.get().mode == RunMode.RUN:
            fail(str(error))
        raise  # the launcher of a sweep goes on with the next job


def checked(cfg: DictConfig) -> dict[str, Any]:
    """The whole config as plain values; CondenserError names every bad one."""
    config: dict[str, Any] = OmegaConf.to_container(cfg, resolve=True)  # type: ignore[assignment]
    name_models(config)
    schema.check(config)
    recipe.plan(config)
    return config


def command(overrides: Iterable[str]) -> str:
    """What to type for the same run; where data and runs lie is the machine's affair."""
    places = ("data.root=", "runs=", "store=")
    words = [word for word in overrides if not word.startswith(places)]
    return shlex.join(["python", "src/train.py", *words])


def fail(message: str) -> None:
    print(f"condenser: {message}", file=sys.stderr)
    sys.exit(1)


def lists_are_stages(word: str) -> str:
    """``recipe=[teacher,distill]`` is the list itself, where ``recipe=full`` picks a file."""
    return re.sub(r"^(\+*)recipe=(?=\[)", r"\1recipe.stages=", word)


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
        raise CondenserError(refuse(f"{key}={name}", "", name, sorted(options("model"))))
    cfg = hydra.compose("train", [f"model@student.model={name}", f"run={name}"])
    return OmegaConf.to_container(cfg.student.model, resolve=True)  # type: ignore[return-value]


def run_name(overrides: Iterable[str], _root_: DictConfig | None = None) -> str:
    """A folder's name from what was overridden: ``temperature=4,alpha=0.1,teacher.seed=2``.

    A key goes by its last word where no other in the config (OmegaConf gives it) ends so: whoever
    sets another thing gets another folder.
    """
    pairs = [word.lstrip("+").split("=", 1) for word in overrides]
    pairs = [p for p in pairs if len(p) == 2 and p[0] not in BESIDE and p[0][:6] != "logger"]
    known = {*(key for key, _ in pairs), *leaves(OmegaConf.to_container(_root_ or DictConfig({})))}
    ends = Counter(map(last_word, known))
    keys = [key if ends[last_word(key)] > 1 else last_word(key) for key, _ in pairs]
    values = [re.sub(r"[^\w.=+-]+", "-", value.strip("[]{}'\" ")) for _, value in pairs]
    words = (f"{key}={value}" for key, value in zip(keys, values, strict=True))
    name = ",".join(words).replace("stages=", "recipe=") or "default"
    if len(name) <= 80:
        return name
    return f"{name[:70]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def last_word(key: str) -> str:
    """``rate`` of ``prune.rate``; the role of ``model@teacher.model``."""
    group, _, role = key.partition("@")
    return role.split(".")[0] or group.rpartition(".")[2]


def leaves(node: Any, path: str = "") -> Iterator[str]:
    """The dotted key of every setting below ``node`` but hydra's."""
    for key, value in node.items():
        if isinstance(value, dict) and key != "hydra":
            yield from leaves(value, f"{path}{key}.")
        elif key != "hydra":
            yield f"{path}{key}"


def explain(error: Exception) -> str:
    """An exception of ours, hydra's or OmegaConf's as one line for each mistake."""
    if isinstance(error, CondenserError):
        return str(error)
    text = " ".join(str(part) for part in (error, error.__cause__ or ""))
    if match := re.search(r"Could not override '([^']+)'", text):
        return unknown_key(match[1])
    if match := re.search(r"Could not find '([^']+)'", text):
        group, _, option = match[1].rpartition("/")
        return refuse(f"{group}={option}", "", option, options(group))
    if isinstance(error, OverrideParseException):
        return f"{error.override}: allowed is key=value, or a list as in 'key=[a,b]' within quotes"
    if match := re.search(r"Key '[^']+' (?:is )?not in.*?full_key: (\S+)", text, re.S):
        return unknown_key(match[1])
    first = next(line for line in str(error).splitlines() if line.strip())
    return f"the config cannot be composed: {first}"


def refuse(what: str, where: str, word: str, allowed: Sequence[str]) -> str:
    """``what``: allowed is one of …; did you mean …?"""
    hint = nearest(word, allowed)
    return f"{what}: allowed{where} is {one_of(allowed)}" + (f"; {hint}" if hint else "")


def unknown_key(key: str) -> str:
    """What to say of ``distil=kd``, ``prune.rat=0.5`` or ``model@student.mode=lenet5``."""
    group, at, _ = key.partition("@")
    if at:
        return refuse(f"{key}: no such role", "", key, [k for k in keys_of("") if "@" in k])
    scope, _, last = group.rpartition(".")
    known = keys_of(scope)
    if scope and not known:
        return unknown_key(scope)
    return refuse(f"{key}: no such key", f" in {scope}" if scope else "", last, known)


def keys_of(scope: str) -> Sequence[str]:
    """The keys below ``scope`` in the config as it is without overrides."""
    from hydra import compose, initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra

    GlobalHydra.instance().clear()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("train", return_hydra_config=True)
    choices = [str(key).lstrip("/") for key in cfg.hydra.runtime.choices]
    node = OmegaConf.select(cfg, scope) if scope else cfg
    found = [str(key) for key in node] if isinstance(node, DictConfig) else []
    known = {*found, *([] if scope else choices)}
    return sorted(key for key in known if not key.startswith("hydra"))


def options(group: str) -> list[str]:
    """The files of a config group."""
    return [path.stem for path in (CONF / group).glob("*.yaml")]
