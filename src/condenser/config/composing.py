"""What hydra 1.3.8 does twice or slowly before a word is answered, done once and fast.

The only file that changes hydra and OmegaConf: ``quicken`` puts three pieces in their places.
"""

from __future__ import annotations

import gc
from typing import IO, Any

import omegaconf._utils
import yaml
from hydra._internal import defaults_list
from hydra._internal import hydra as application
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf._utils import get_yaml_loader


class Once(ConfigLoaderImpl):
    """A loader that composes once what hydra asks for twice: to learn the mode, then to run."""

    first: tuple[list[str], DictConfig] | None = None

    def __init__(self, config_search_path: ConfigSearchPath) -> None:
        super().__init__(config_search_path)
        self.read: dict[tuple[str | None, ...], Any] = {}

    def mode(self, config_name: str | None, overrides: list[str]) -> RunMode | None:
        """RUN or MULTIRUN, as the config says; None: it does not."""
        cfg = self.load_configuration(config_name, overrides, RunMode.MULTIRUN, True, False)
        self.first = list(overrides), cfg
        mode: RunMode | None = cfg.hydra.mode
        return mode

    def load_configuration(
        self,
        config_name: str | None,
        overrides: list[str],
        run_mode: RunMode,
        from_shell: bool = True,
        validate_sweep_overrides: bool = True,
    ) -> DictConfig:
        """As hydra's; given once, for whoever has it may change it."""
        first, self.first = self.first, None
        said = f"hydra.mode={run_mode.name}"  # hydra appends it where no config has the mode
        if first is None or overrides not in (first[0], [*first[0], said]) or not whole(first[1]):
            try:
                return super().load_configuration(
                    config_name, overrides, run_mode, from_shell, validate_sweep_overrides
                )
            finally:
                self.read.clear()  # composing changes what was read
        words, cfg = first
        if validate_sweep_overrides:
            parsed = OverridesParser.create().parse_overrides(overrides)
            self.validate_sweep_overrides_legal(parsed, run_mode, from_shell)
        if overrides != words:
            cfg.hydra.mode = run_mode
            cfg.hydra.overrides.hydra.append(said)
        return cfg

    def _parse_overrides_and_create_caching_repo(
        self, config_name: str | None, overrides: list[str]
    ) -> Any:
        """Once until something is composed: completion asks about every group in turn."""
        key = (config_name, *overrides)
        if key not in self.read:
            self.read[key] = super()._parse_overrides_and_create_caching_repo(
                config_name, overrides
            )
        return self.read[key]


def whole(cfg: DictConfig) -> bool:
    """Whether no choice is left open; a sweep may leave one, a run is refused for it."""
    return not OmegaConf.missing_keys(cfg.hydra.runtime.choices)


def mode_of(self: Any, config_name: str | None, overrides: list[str]) -> RunMode | None:
    """RUN or MULTIRUN, as the config says. Hydra's own swallows errors, to compose them again."""
    try:
        if "hydra.mode=RUN" in overrides:  # said by a launcher: nothing to compose
            return RunMode.RUN
        mode: RunMode | None = self.config_loader.mode(config_name, overrides)
        return mode
    finally:
        gc.enable()


def choices_where_asked(overrides: Any, defaults: list[Any], self_added: bool) -> DictConfig:
    """What ``${…}`` in a file's defaults may mean; made where there is one, not for every file."""
    if any(default.is_interpolation() for default in defaults):
        return choices_of(overrides, defaults, self_added)
    return DictConfig({})


choices_of = defaults_list._create_interpolation_map


def reader() -> Any:
    """OmegaConf's reader of YAML with a parser in C; what that refuses, the slow one explains."""
    slow: Any = get_yaml_loader()
    if not yaml.__with_libyaml__:
        return slow

    class Quick(yaml.CSafeLoader, slow):  # type: ignore[misc, valid-type]
        def __init__(self, stream: IO[str]) -> None:
            super().__init__(stream)
            self.stream = stream

        def get_single_data(self) -> Any:
            try:
                return super().get_single_data()
            except yaml.YAMLError:
                self.stream.seek(0)
                return yaml.load(self.stream, Loader=slow)

    return Quick


def quicken() -> None:
    """From here on hydra's main composes with ``Once``, and OmegaConf reads with ``reader``."""
    application.ConfigLoaderImpl = Once  # type: ignore[misc]
    application.Hydra.get_mode = mode_of  # type: ignore[method-assign]
    defaults_list._create_interpolation_map = choices_where_asked  # type: ignore[assignment]
    quick = reader()
    omegaconf._utils.get_yaml_loader = lambda: quick
