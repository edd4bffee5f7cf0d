"""The command line: hydra composes, every mistake becomes a line that a person can act on."""

from __future__ import annotations

import hashlib
import os
import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import hydra
from hydra.core.config_store import ConfigStore  # noqa: F401 - hydra's plugins expect it imported
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from condenser import schema
from condenser.errors import CondenserError, nearest, one_of

CONF = Path(__file__).resolve().parents[2] / "conf"
BESIDE = ("experiment", "name", "runs", "store", "claim", "data.root", "debug")  # not in a run's name


def main() -> None:
    """Run ``task`` under hydra. Mistakes of the user end in one line each and exit code 1."""
    os.environ["HYDRA_FULL_ERROR"] = "1"  # hydra hands exceptions on instead of printing them
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
    config: dict[str, Any] = OmegaConf.to_container(cfg, resolve=True)  # type: ignore[assignment]
    schema.check(config)
    from condenser import recipe

    recipe.plan(config)
    from condenser.run import run

    run(config)


def fail(message: str) -> None:
    print(f"condenser: {message}", file=sys.stderr)
    sys.exit(1)


def lists_are_stages(word: str) -> str:
    """``recipe=[teacher,distill]`` is the list itself, where ``recipe=full`` picks a file."""
    return re.sub(r"^(\+*)recipe=(?=\[)", r"\1recipe.stages=", word)


def run_name(overrides: Iterable[str]) -> str:
    """A folder's name from what was overridden: ``temperature=4,alpha=0.1,seed=2``."""
    pairs = [word.lstrip("+").split("=", 1) for word in overrides]
    pairs = [p for p in pairs if len(p) == 2 and p[0] not in BESIDE and not p[0].startswith("logger")]
    ends = [key.partition("@")[2].split(".")[0] or key.split(".")[-1] for key, _ in pairs]
    keys = [k if ends.count(e) > 1 else e for (k, _), e in zip(pairs, ends, strict=True)]
    words = [f"{key}={value}" for key, (_, value) in zip(keys, pairs, strict=True)]
    name = re.sub(r"[^\w.=,+-]+", "_", ",".join(words)) or "default"
    if len(name) <= 80:
        return name
    return f"{name[:70]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def explain(error: Exception) -> str:
    """An exception of ours, hydra's or OmegaConf's as one line for each mistake."""
    if isinstance(error, CondenserError):
        return str(error)
    text = " ".join(str(part) for part in (error, error.__cause__ or ""))
    if match := re.search(r"Could not override '([^']+)'", text):
        return unknown_key(match[1].partition("@")[0])
    if match := re.search(r"Could not find '([^']+)'", text):
        group, _, option = match[1].rpartition("/")
        allowed = options(group)
        hint = nearest(option, allowed)
        return f"{group}={option}: allowed is {one_of(allowed)}" + (f"; {hint}" if hint else "")
    if match := re.search(r"Key '([^']+)' (?:is )?not in.*?full_key: (\S+)", text, re.S):
        return unknown_key(match[2])
    first = next(line for line in str(error).splitlines() if line.strip())
    return f"the config cannot be composed: {first}"


def unknown_key(key: str) -> str:
    """What to say of ``distil=kd`` or ``prune.rat=0.5``."""
    scope, _, last = key.rpartition(".")
    known = keys_of(scope) or keys_of("")
    hint = nearest(last, known) or nearest(key.split(".")[0], keys_of(""))
    return f"{key}: no such key; allowed {f'in {scope} ' if scope else ''}is {one_of(known)}" + (
        f"; {hint}" if hint else ""
    )


def keys_of(scope: str) -> Sequence[str]:
    """The keys below ``scope`` in the config as it is without overrides."""
    from hydra import compose, initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra

    GlobalHydra.instance().clear()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("train")
    node = OmegaConf.select(cfg, scope) if scope else cfg
    found = [str(key) for key in node] if isinstance(node, DictConfig) else []
    return found + ([] if scope else [p.name for p in CONF.iterdir() if p.is_dir()])


def options(group: str) -> list[str]:
    """The files of a config group."""
    return [path.stem for path in (CONF / group).glob("*.yaml")]
