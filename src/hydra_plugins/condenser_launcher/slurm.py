"""hydra/launcher=slurm: every job of a sweep is one of a SLURM job array (conf/hydra/launcher)."""

from collections.abc import Sequence
from typing import Any

from hydra.core.utils import JobReturn

from hydra_plugins.condenser_launcher.base import ChecksFirst


class Slurm(ChecksFirst):
    """Submits jobs as commands and waits for them."""

    def run(self, jobs: Sequence[Any]) -> Sequence[JobReturn]:
        """Wherever the cluster puts them."""
        from condenser.sweep.slurm import Settings, launch

        return launch(jobs, self.config, Settings(**self.settings))
