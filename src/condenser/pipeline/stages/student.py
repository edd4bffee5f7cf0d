"""student: the small network from scratch, the baseline of every distillation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from condenser.pipeline.stages.training import TrainingStage


class Student(TrainingStage):
    """Trains ``student.model`` on labels alone."""

    word: ClassVar[str] = "student"
    color: ClassVar[str] = "#999999"
    marker: ClassVar[str] = "o"

    @property
    def architecture(self) -> Mapping[str, Any]:
        return self.settings["model"]
