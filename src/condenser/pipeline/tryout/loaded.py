"""A ready-made teacher beside the data: its outputs are the classes, or nobody asks for them."""

from __future__ import annotations

from collections.abc import Sequence

from condenser.distill import LogitObjective
from condenser.errors import ConfigError
from condenser.pipeline.stages import RunContext, Stage
from condenser.pipeline.stages.teacher import Teacher
from condenser.pipeline.stages.training import TrainingStage


def check_loaded(teacher: Teacher, stages: Sequence[Stage], ctx: RunContext) -> None:
    """ConfigError for another number of outputs, unless students learn from features alone."""
    found, _ = teacher.read(ctx)
    outputs, classes = found.num_classes, ctx.data.num_classes
    if outputs == classes:
        return
    goes_on = any(stage.takes_model and stage.chain[0] is teacher for stage in stages)
    taught = [s for s in stages if s.uses_teacher and teacher in s.teachers]
    if goes_on or not taught or any(reads_logits(stage, ctx) for stage in taught):
        raise ConfigError(
            "teacher.load",
            teacher.settings["load"],
            f"a network with {classes} outputs, the classes of {ctx.data.name}; it has {outputs}",
            "of another task only features can be learnt from: distill=at",
        )


def reads_logits(stage: Stage, ctx: RunContext) -> bool:
    """Whether a stage's objective is, or has, one on the teacher's logits."""
    if not isinstance(stage, TrainingStage):
        return False
    return any(isinstance(part, LogitObjective) for part in ctx.build(stage.objective).modules())
