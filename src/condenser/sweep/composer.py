"""The configs of many jobs: composed once for each choice of files, then only values change."""

from __future__ import annotations

import copy
from collections.abc import Sequence

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, open_dict, read_write


class Composer:
    """Composes a job's config as hydra does, a tenth as long for all but the first of a kind."""

    def __init__(self, loader: ConfigLoader, master: DictConfig) -> None:
        assert isinstance(loader, ConfigLoaderImpl)
        self.loader, self.master = loader, master
        self.parser = OverridesParser.create(config_loader=loader)
        self.bases: dict[tuple[str, ...], DictConfig] = {}

    def __call__(self, words: Sequence[str]) -> DictConfig:
        """The config of these overrides, hydra's own part with it."""
        values: list[Override] = []
        choices: tuple[str, ...] = ()
        for word, override in zip(words, self.parser.parse_overrides(list(words)), strict=True):
            if self.is_value(override):
                values.append(override)
            else:
                choices += (word,)
        if choices not in self.bases:
            self.bases[choices] = self.loader.load_sweep_config(self.master, list(choices))
        cfg = copy.deepcopy(self.bases[choices])
        self.loader._apply_overrides_to_config(values, cfg)
        with read_write(cfg.hydra), open_dict(cfg.hydra):
            cfg.hydra.overrides.task = list(words)
        return cfg

    def is_value(self, override: Override) -> bool:
        """Whether it sets a key that is there, and chooses no file."""
        key = override.key_or_group
        plain = not (override.is_add() or override.is_delete() or override.package)
        return (
            plain and not key.startswith("hydra") and not self.loader.repository.group_exists(key)
        )
