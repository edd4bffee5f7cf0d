"""Which networks a recipe trains or takes, and what will be asked of each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import Any

import torch

from condenser import models
from condenser.checkpoint.model_spec import ModelSpec
from condenser.outside.sources import of_targets
from condenser.pipeline.stages import RunContext, Stage
from condenser.pipeline.stages.compression import Quantize
from condenser.pipeline.stages.export import Export
from condenser.pipeline.stages.training import TrainingStage
from condenser.store import key_of

VERSION = 1  # of what is tried: raise it when more is


@dataclass(frozen=True)
class Trial:
    """A network, and what will be done with it.

    Attributes:
        role: where the config names it: teacher.model.
        trained: whether anything is trained from it.
        least: samples of the smallest batch that it is trained on.
        exports: the stages that write files of it.
    """

    role: str
    architecture: Mapping[str, Any]
    spec: ModelSpec
    trained: bool
    least: int
    exports: tuple[Export, ...]

    @property
    def outside(self) -> bool:
        """Whether its code is not all ours; torchvision's, timm's and transformers' is not."""
        target = str(self.architecture["_target_"])
        return models.outside(target) or target.endswith(models.LIBRARIES)

    @property
    def named(self) -> str:
        return f"{self.role}={self.architecture.get('name', self.architecture['_target_'])}"

    def key(self, ctx: RunContext) -> str:
        """Everything that the trial's end depends on."""
        forms = [str(export.form(ctx)) for export in self.exports]
        rounded = [export.settings for export in self.exports if rounds(export)]
        return key_of(
            {
                "version": VERSION,
                "torch": [torch.__version__, metadata.version("torchvision")],
                "spec": self.spec.to_json(),
                "source": of_targets([str(self.architecture["_target_"])]),
                "task": [ctx.data.task.word, ctx.data.task.outputs],
                "trained": self.trained,
                "one": self.least == 1,
                "files": sorted(forms),
                "rounded": rounded,
            }
        )


def rounds(export: Export) -> list[Stage]:
    """The stages before it that quantise."""
    return [stage for stage in export.chain if isinstance(stage, Quantize)]


def trials(stages: Sequence[Stage], ctx: RunContext) -> Iterator[Trial]:
    """One for each network that a stage starts from; the same in two places once."""
    seen: list[Any] = []
    for stage in stages:
        if not isinstance(stage, TrainingStage) or stage.architecture is None:
            continue
        if getattr(stage, "folder", None) is not None or stage.kind == "baseline":
            continue
        line = [s for s in stages if s is stage or (s.chain and s.chain[0] is stage)]
        trial = of(stage, line, ctx)
        if (trial.spec, trial.least, trial.trained, trial.exports) not in seen:
            seen.append((trial.spec, trial.least, trial.trained, trial.exports))
            yield trial


def of(stage: TrainingStage, line: Sequence[Stage], ctx: RunContext) -> Trial:
    """The trial of the network that ``line``, its first stage and those that go on, works with."""
    assert stage.architecture is not None
    own = stage.settings.get("model")
    trained = [s for s in line if isinstance(s, TrainingStage) and s.epochs]
    return Trial(
        role=f"{stage.word}.model" if own else "student.model",
        architecture=stage.architecture,
        spec=stage.spec(ctx),
        trained=bool(trained),
        least=min((least(s, ctx) for s in trained), default=2),
        exports=tuple(s for s in line if s.kind == "exports"),  # type: ignore[misc]
    )


def least(stage: TrainingStage, ctx: RunContext) -> int:
    """Samples of the smallest batch of a stage's epoch."""
    data, usual = ctx.data, ctx.data.batch_size
    data.batch_size = stage.settings["optim"]["batch_size"]
    smallest = min(data.train_dataloader().sizes, default=0)
    data.batch_size = usual
    return smallest
