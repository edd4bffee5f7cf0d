"""distill: the small network learns from the teacher."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from condenser.stages.base import Workbench
from condenser.stages.training import TrainingStage

if TYPE_CHECKING:
    from torch import nn

ROLES = ("student", "teacher")


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
        from condenser.modules import connect

        student, teacher = (network(self.config[role]["model"], bench) for role in ROLES)
        connect(bench.build(self.objective), student, teacher, bench.data.example(2))
        small, large = (sum(p.numel() for p in net.parameters()) for net in (student, teacher))
        if small > large:
            bench.warn(
                f"student.model={self.architecture['name']} has {small:,} parameters, more than "
                f"its teacher {self.config['teacher']['model']['name']} with {large:,}"
            )


def objective(config: Mapping[str, Any]) -> dict[str, Any]:
    """The distill section without what belongs to the training around the objective."""
    return {key: value for key, value in config["distill"].items() if key != "optim"}


def network(model: Mapping[str, Any], bench: Workbench) -> nn.Module:
    """A network of the config, its weights as initialised."""
    from condenser import models

    return models.build(model, bench.data.input_shape, bench.data.num_classes, bench.trusted)
