"""What the launchers have in common."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


class ChecksFirst(Launcher):
    """A launcher that starts no job before all of them are checked."""

    def __init__(self, **settings: Any) -> None:
        self.settings = settings
        self.composed: dict[tuple[str, ...], Any] = {}  # by a sweeper that checked them already

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        """Hydra says what there is to run."""
        self.context, self.config = hydra_context, config

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        """Run the jobs; what each returns is its final record, or why it failed."""
        from condenser.sweep import compose

        jobs = [job for words in job_overrides if (job := self.composed.get(tuple(words)))]
        if len(jobs) < len(job_overrides):
            jobs = compose(self.context.config_loader, self.config, job_overrides, initial_job_idx)
        return self.run(jobs)

    @abstractmethod
    def run(self, jobs: Sequence[Any]) -> Sequence[JobReturn]:
        """Run jobs that were checked."""
