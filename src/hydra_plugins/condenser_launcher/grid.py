"""hydra/sweeper=grid: every combination, all checked before the first starts."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.utils import JobReturn, JobStatus


@dataclass
class GridConf:
    """Settings, as hydra's own sweeper has them."""

    _target_: str = "hydra_plugins.condenser_launcher.grid.Grid"
    max_batch_size: int | None = None  # jobs that the launcher gets at once; null: all
    params: dict[str, str] | None = None  # what is swept, beside the command line


ConfigStore.instance().store(
    group="hydra/sweeper", name="grid", node=GridConf, provider="condenser"
)


class Grid(BasicSweeper):
    """Hydra's grid, with whatever launcher: a job that fails costs itself only."""

    def sweep(self, arguments: list[str]) -> Any:
        """Run every combination.

        Raises:
            SweepError: a config that cannot be, before any job; or jobs that failed, after all.
        """
        assert self.config is not None and self.launcher is not None and self.hydra_context
        from condenser.errors import ConfigError
        from condenser.sweep.jobs import compose

        loader = self.hydra_context.config_loader
        words = [*self._parse_config(), *arguments]
        overrides = OverridesParser.create(config_loader=loader).parse_overrides(words)
        for one in overrides:
            if one.is_sweep_override() and next(one.sweep_string_iterator(), None) is None:
                asked = str(one.input_line).partition("=")[2]
                raise ConfigError(str(one.key_or_group), asked, "a sweep of at least one value")
        keys = [override.get_key_element() for override in overrides]
        values = [key for key in keys if "." in key]  # data=mnist picks a file, whatever its order
        apart = not any(one.startswith(f"{other}.") for one in keys for other in values)
        # a run's name begins with what tells it from the others, where their order changes nothing
        if apart and len(keys) == len(set(keys)):
            overrides.sort(key=lambda override: not override.is_sweep_override())
        self.overrides = self.split_arguments(overrides, self.max_batch_size)
        jobs = compose(loader, self.config, [job for batch in self.overrides for job in batch])
        if isinstance(getattr(self.launcher, "composed", None), dict):
            self.launcher.composed = {job.overrides: job for job in jobs}  # type: ignore[attr-defined]
        returns: list[Sequence[JobReturn]] = []
        for batch in self.overrides:
            returns.append(self.launcher.launch(batch, sum(map(len, returns))))
        done = [one for batch in returns for one in batch]
        if any(one.status != JobStatus.COMPLETED for one in done):
            from condenser.sweep.summary import failed

            raise failed(done)
        return returns
