"""hydra/launcher=processes: every job of a sweep is a process of its own."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


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


class Processes(Launcher):
    """Runs jobs as commands, so that none can harm another."""

    def __init__(self, **settings: Any) -> None:
        from condenser.sweep.launch import Settings

        self.settings = Settings(**settings)
        self.composed: dict[tuple[str, ...], Any] = {}  # by a sweeper that checked them already

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        self.context, self.config = hydra_context, config

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        """Run them; what each returns is its final record, or why it failed."""
        from condenser.sweep.jobs import compose
        from condenser.sweep.launch import launch

        jobs = [job for words in job_overrides if (job := self.composed.get(tuple(words)))]
        if len(jobs) < len(job_overrides):
            jobs = compose(self.context.config_loader, self.config, job_overrides, initial_job_idx)
        return launch(jobs, self.config, self.settings)
