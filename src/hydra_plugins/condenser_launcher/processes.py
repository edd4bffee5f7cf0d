"""hydra/launcher=processes: every job of a sweep is a process of its own."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.utils import JobReturn

from hydra_plugins.condenser_launcher.base import ChecksFirst


@dataclass
class ProcessesConf:
    """Settings, as hydra.launcher.jobs=2."""

    _target_: str = "hydra_plugins.condenser_launcher.processes.Processes"
    jobs: int | None = None  # at once; null: one for each GPU, one where there is none
    timeout_min: float | None = None  # of each job; null: none
    retries: int = 0  # of a job that failed
    grace_s: float = 10.0  # that a job has to end by itself when it is stopped


ConfigStore.instance().store(
    group="hydra/launcher", name="processes", node=ProcessesConf, provider="condenser"
)


class Processes(ChecksFirst):
    """Runs jobs as commands, so that none can harm another."""

    def run(self, jobs: Sequence[Any]) -> Sequence[JobReturn]:
        """On this machine, so many at once."""
        from condenser.sweep.launch import Settings, launch

        return launch(jobs, self.config, Settings(**self.settings))
