"""teacher: the large network, trained on labels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from condenser.stages.base import Workbench
from condenser.stages.training import TrainingStage

if TYPE_CHECKING:
    from torch import nn

    from condenser.modules import Student
    from condenser.store import Entry


class Teacher(TrainingStage):
    """Trains ``teacher.model`` with ``teacher.optim`` under ``teacher.seed``."""

    word: ClassVar[str] = "teacher"

    @property
    def architecture(self) -> Mapping[str, Any]:
        return self.settings["model"]

    @property
    def seed(self) -> int:
        return self.settings["seed"]

    def module(
        self, bench: Workbench, model: nn.Module, teacher: Entry | None, **kwargs: Any
    ) -> Student:
        from condenser import modules

        return modules.Teacher(model, self.plan(bench), bench.data, seed=self.seed, **kwargs)
