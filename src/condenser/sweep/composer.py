"""Compose the configs of many jobs: once per choice of files, then only values change."""

from __future__ import annotations

import copy
from collections.abc import Sequence

from hydra._internal.config_loader_impl import ConfigLoaderImpl, get_overrides_dirname
from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf, open_dict, read_write


class Composer:
    """Composes job configs as hydra does, ten times as fast for all but the first of a kind."""

    def __init__(self, loader: ConfigLoader, master: DictConfig) -> None:
        assert isinstance(loader, ConfigLoaderImpl)
        self.loader, self.master = loader, master
        self.parser = OverridesParser.create(config_loader=loader)
        self.bases: dict[tuple[str, ...], DictConfig] = {}
        if whole(master):  # the master's overrides are passed to every job and change nothing there
            self.bases[self.choices(master)] = master

    def __call__(self, words: Sequence[str]) -> DictConfig:
        """The config of these overrides, including hydra's own part."""
        parsed = self.parser.parse_overrides(list(words))
        values = [override for override in parsed if self.is_value(override)]
        choices = tuple(str(one.input_line) for one in parsed if not self.is_value(one))
        if choices not in self.bases:
            self.bases[choices] = self.loader.load_sweep_config(self.master, list(choices))
        cfg = copy.deepcopy(self.bases[choices])
        self.loader._apply_overrides_to_config(values, cfg)
        with read_write(cfg.hydra), open_dict(cfg.hydra):
            cfg.hydra.overrides.task = list(words)
            cfg.hydra.job.override_dirname = dirname(parsed, cfg.hydra.job.config.override_dirname)
        return cfg

    def choices(self, master: DictConfig) -> tuple[str, ...]:
        """The master's overrides that are neither values nor sweeps."""
        parsed = self.parser.parse_overrides(list(master.hydra.overrides.task))
        left = [one for one in parsed if not (one.is_sweep_override() or self.is_value(one))]
        return tuple(str(one.input_line) for one in left)

    def is_value(self, override: Override) -> bool:
        """Whether it sets an existing key and selects no file."""
        key = override.key_or_group
        plain = not (override.is_add() or override.is_delete() or override.package)
        return (
            plain and not key.startswith("hydra") and not self.loader.repository.group_exists(key)
        )


def whole(cfg: DictConfig) -> bool:
    """Whether no choice is left open; a sweep may leave one, a run is refused for it."""
    return not OmegaConf.missing_keys(cfg.hydra.runtime.choices)


def dirname(overrides: list[Override], form: DictConfig) -> str:
    """``${hydra.job.override_dirname}``, as hydra computes it."""
    return get_overrides_dirname(overrides, form.exclude_keys, form.item_sep, form.kv_sep)
