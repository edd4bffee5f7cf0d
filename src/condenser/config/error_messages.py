"""Exceptions of hydra, OmegaConf and the disk as lines that a person can act on."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

from hydra.errors import HydraException, OverrideParseException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from condenser.config.compose import composing
from condenser.errors import CondenserError, unknown
from condenser.files import CONF
from condenser.runs import disk

COMPOSING = (CondenserError, HydraException, OmegaConfBaseException)  # what bad words raise


def explain(error: BaseException) -> str:
    """An exception of ours, hydra's, OmegaConf's or the disk's as one line for each mistake."""
    if isinstance(error, CondenserError):
        return str(error)
    if said := disk.told(error):
        return said
    if isinstance(error, OmegaConfBaseException):
        for cause in disk.causes(error):
            if isinstance(cause, CondenserError):  # what a resolver of ours says of a key
                return f"{error.full_key}: {cause}"
    text = " ".join(str(part) for part in (error, error.__cause__ or ""))
    if match := re.search(r"Could not override '([^']+)'", text):
        return unknown_key(match[1])
    if match := re.search(r"Could not find '([^']+)'", text):
        group, _, option = match[1].rpartition("/")
        return unknown(f"{group}={option}", option, options(group))
    if isinstance(error, OverrideParseException):
        return f"{error.override}: must be key=value, or a list as in 'key=[a,b]' within quotes"
    if match := re.search(r"Missing mandatory value: (\S+)", text):
        return f"{match[1]}: must be given, as in {match[1]}=NAME"
    if match := re.search(r"Key '[^']+' (?:is )?not in.*?full_key: (\S+)", text, re.S):
        return unknown_key(match[1])
    first = next((line for line in str(error).splitlines() if line.strip()), "")
    if isinstance(error, COMPOSING):
        return f"the config cannot be composed: {first}"
    return f"{type(error).__name__}: {first}"


def can_be_mended(error: BaseException) -> bool:
    """By the user: a word of the config, room on the disk."""
    return isinstance(error, COMPOSING) or disk.told(error) is not None


def unknown_key(key: str) -> str:
    """What to say of ``distil=kd``, ``prune.rat=0.5`` or ``model@student.mode=lenet5``."""
    group, at, package = key.partition("@")
    if at:
        from condenser.config import schema  # not for other mistakes: it takes its time

        if (folder := package.partition(".")[0]) in schema.WHOLE:
            return schema.headless(folder)
        return unknown(key, key, [k for k in keys_of("") if "@" in k], "no such role")
    scope, _, last = group.rpartition(".")
    known = keys_of(scope)
    if scope and not known:
        return unknown_key(scope)
    return unknown(key, last, known, "no such key")


def keys_of(scope: str) -> Sequence[str]:
    """The keys below ``scope`` in the config as it is without overrides."""
    cfg = _plain(*(w for w in sys.argv if w.startswith(("hydra/launcher=", "hydra/sweeper="))))
    choices = [str(key).lstrip("/") for key in cfg.hydra.runtime.choices]
    node = OmegaConf.select(cfg, scope) if scope else cfg
    found = [str(key) for key in node] if isinstance(node, DictConfig) else []
    known = {*found, *([] if scope else choices)}
    return sorted(key for key in known if not key.startswith("hydra"))


@lru_cache
def _plain(*chosen: str) -> DictConfig:
    from hydra import compose

    with composing():
        return compose("train", [*chosen], return_hydra_config=True)


def folders() -> list[Path]:
    """Where config files lie: the user's ``--config-dir``, and the shipped ones."""
    from hydra.core.hydra_config import HydraConfig

    if HydraConfig.initialized():
        found = [source.path for source in HydraConfig.get().runtime.config_sources]
        own = [Path(path) for path in found if path and Path(path) != CONF]
    else:  # a mistake before anything is composed
        flags = list(zip(sys.argv, sys.argv[1:], strict=False))
        own = [Path(value) for flag, value in flags if flag in ("--config-dir", "-cd")]
    return [*(path for path in own if path.is_dir()), CONF]


def options(group: str) -> list[str]:
    """The files of a config group, and what plugins of hydra's have put there."""
    from hydra.core.config_store import ConfigStore

    own = sorted(path.stem for folder in folders() for path in (folder / group).glob("*.yaml"))
    if not group.startswith("hydra/"):
        return own
    with suppress(OSError):
        own += [name.removesuffix(".yaml") for name in ConfigStore.instance().list(group)]
    return sorted({*own} - {"condenser", "default"})
