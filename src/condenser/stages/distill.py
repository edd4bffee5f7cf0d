"""distill: the small network learns from the teacher."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from condenser.stages.base import Workbench
from condenser.stages.training import TrainingStage


class Distill(TrainingStage):
    """Trains ``student.model``, from the same first weights as the control, on the objective."""

    word: ClassVar[str] = "distill"
    wants_teacher: ClassVar[bool] = True

    @property
    def architecture(self) -> Mapping[str, Any]:
        return self.config["student"]["model"]

    @property
    def objective(self) -> Mapping[str, Any]:
        return objective(self.config)

    def check(self, bench: Workbench) -> None:
        super().check(bench)
        student, teacher = (
            count(self.config[role]["model"], bench) for role in ("student", "teacher")
        )
        if student > teacher:
            bench.warn(
                f"student.model={self.architecture['name']} has {student:,} parameters, more than "
                f"its teacher {self.config['teacher']['model']['name']} with {teacher:,}"
            )


def objective(config: Mapping[str, Any]) -> dict[str, Any]:
    """The distill section without what belongs to the training around the objective."""
    return {key: value for key, value in config["distill"].items() if key != "optim"}


def count(model: Mapping[str, Any], bench: Workbench) -> int:
    """Parameters of a network of the config."""
    from condenser import models

    shape, classes = bench.data.input_shape, bench.data.num_classes
    built = models.build(model, shape, classes, bench.trusted)
    return sum(p.numel() for p in built.parameters())
