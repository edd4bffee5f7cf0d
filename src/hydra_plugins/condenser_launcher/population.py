"""hydra/launcher=population: jobs that differ in numbers only train as one, in this process."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.utils import JobReturn

from hydra_plugins.condenser_launcher.base import ChecksFirst
from hydra_plugins.condenser_launcher.processes import ProcessesConf


@dataclass
class PopulationConf(ProcessesConf):
    """Settings; but for size those of the processes that run what no population can."""

    _target_: str = "hydra_plugins.condenser_launcher.population.Population"
    size: int = 16  # the most jobs of a population


ConfigStore.instance().store(
    group="hydra/launcher", name="population", node=PopulationConf, provider="condenser"
)


class Population(ChecksFirst):
    """Runs what it can together; a job that fails costs itself only."""

    def run(self, jobs: Sequence[Any]) -> Sequence[JobReturn]:
        """On this machine."""
        from condenser.sweep.launch import Settings
        from condenser.sweep.population import launch_together

        settings = dict(self.settings)
        size = settings.pop("size")
        return launch_together(jobs, self.config, Settings(**settings), size)
