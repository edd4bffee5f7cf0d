"""The objective interface."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from condenser.data.batches import Batch
from condenser.errors import ConfigError, nonnegative
from condenser.functional.logit_losses import standardize
from condenser.tasks import Multiclass, Task


class Outputs(NamedTuple):
    """A model's outputs for a batch.

    Attributes:
        logits: (batch, outputs); in a loss (decisions, outputs), see ``Task.decisions``.
        features: outputs of the layers that the objective selects, by name.
        index: (batch,) the samples' indices in the training set.
        strong: logits for a second view of the samples, where the objective wants one.
    """

    logits: Tensor
    features: Mapping[str, Tensor] = MappingProxyType({})
    index: Tensor | None = None  # type: ignore[assignment]
    strong: Tensor | None = None


class Objective(nn.Module, ABC):
    """A training objective. Its own parameters (projectors) are trained with the student.

    Attributes:
        needs_teacher: it uses the teacher's outputs.
        tasks: names of the tasks that decisions may be of.
        least_classes: minimum number of classes, for a multiclass task.
        instead: the option of conf/distill to suggest for data that it rejects.
        takes_shares: targets may be shares of classes, as `data.mix` makes them.
        stochastic: ``forward`` uses random numbers.
        rewrites: ``rewrite`` gives a batch other inputs; a teacher's outputs are not cached then.
        wants_strong: it needs the logits of a second view of each sample, that of ``data.strong``.
        relational: it compares samples within a batch, so that with several processes each needs
            the global batch.
        task: set by ``setup``.
        student_layers, teacher_layers: layers whose features it needs, as named by ``Capture``.
    """

    needs_teacher: ClassVar[bool] = True
    tasks: ClassVar[tuple[str, ...]] = (Multiclass.word,)
    least_classes: ClassVar[int] = 2
    instead: ClassVar[str] = "kd"
    takes_shares: ClassVar[bool] = True
    stochastic: ClassVar[bool] = False
    rewrites: ClassVar[bool] = False
    wants_strong: ClassVar[bool] = False
    relational: bool = False
    task: Task = Multiclass(outputs=0)  # no minimum
    student_layers: Sequence[str] = ()
    teacher_layers: Sequence[str] = ()

    @property
    def method(self) -> str:
        """Its name in conf/distill: that of its file."""
        kind = type(self)
        ours = kind.__module__.startswith("condenser.distill.")
        return kind.__module__.rpartition(".")[2] if ours else kind.__name__

    def setup(self, task: Task, targets: Tensor) -> None:
        """Check task and targets; called first.

        Args:
            targets: of the whole training set, (samples,) or (samples, labels).

        Raises:
            ConfigError: it is not defined for the task, or for so few classes.
        """
        if task.like not in self.tasks:
            allowed = f"{' or '.join(self.tasks)} data, this is {task.word}"
            raise ConfigError("distill", self.method, allowed, f"use distill={self.instead}")
        if task.like == Multiclass.word and task.outputs < self.least_classes:
            allowed = f"data of {self.least_classes} classes or more, this has {task.outputs}"
            raise ConfigError("distill", self.method, allowed, f"use distill={self.instead}")
        self.task = task

    def require(self, strong: Sequence[object]) -> None:
        """ConfigError where it, or a part of it, wants a second view of the samples that the data
        do not have."""
        for one in self.modules() if not strong else ():
            if isinstance(one, Objective) and one.wants_strong:
                allowed = f"a list of augmentations with distill={one.method}"
                hint = "+data.strong=[{_target_: condenser.data.Transform, name: RandAugment}]"
                raise ConfigError("data.strong", "null", allowed, hint)

    def refuse(self, mix: object) -> None:
        """ConfigError for a mixture of samples where it, or a part of it, needs one class each."""
        for one in self.modules() if mix is not None else ():
            if isinstance(one, Objective) and not one.takes_shares:
                allowed = f"null with distill={one.method}, which needs one class for each sample"
                raise ConfigError("data.mix", repr(mix), allowed)

    def select_layers(self, student: nn.Module, teacher: nn.Module, image: Tensor) -> None:
        """Choose layers; ``image`` (batch, channels, height, width) is an example input."""
        return

    def build_projectors(self, student: Outputs, teacher: Outputs) -> None:
        """Build what depends on feature shapes; called once, with the outputs for an example."""
        return

    def rewrite(self, student: nn.Module, teacher: nn.Module, batch: Batch) -> Batch:
        """The batch that both networks see instead, where ``rewrites``."""
        return batch

    @abstractmethod
    def forward(
        self, student: Outputs, teacher: Outputs | None, target: Tensor
    ) -> dict[str, Tensor]:
        """Scalars: ``"loss"`` to minimise, and each of its terms by name."""

    def term_weights(self) -> Mapping[str, float]:
        """Current weight of each term; empty if the loss has a single term."""
        return {}

    def progress(self, done: float) -> None:
        """Training progress in [0, 1], called before each optimiser step."""
        return

    def own_optimizer(self) -> torch.optim.Optimizer | None:
        """An optimiser for parameters that the student's is not to train; its learning rate
        follows the same schedule. Asked anew for every training."""
        return None


def weights_of(**terms: float) -> dict[str, float]:
    """The weight of each term; ConfigError for one below 0, the setting ``distill.TERM_weight``."""
    return {name: nonnegative(f"distill.{name}_weight", weight) for name, weight in terms.items()}


class LogitObjective(Objective):
    """L = Σ weight · term: the task's loss on the labels, ``hard``, and the terms of ``match``.

    Computed in float32 with autocast off and without gradients to the teacher.

    Args:
        weights: of the terms in the loss, by name; a term without a weight is only logged.
        standardize: ``match`` sees z-scores of both logits; ``hard`` does not (Sun et al. 2024,
            https://arxiv.org/abs/2403.01427). With two classes z-scores are always ±0.71, and
            with labels they lose each label's own zero: both are rejected.

    Raises:
        ConfigError: standardize is neither true nor false, or true where it is undefined.
    """

    def __init__(self, weights: dict[str, float], standardize: bool = False) -> None:
        super().__init__()
        if not isinstance(standardize, bool):
            raise ConfigError("distill.standardize", standardize, "true or false")
        self.weights, self.standardize = weights, standardize

    def setup(self, task: Task, targets: Tensor) -> None:
        super().setup(task, targets)
        if self.standardize and (task.like != Multiclass.word or task.outputs < 3):
            allowed = f"false for data that is {task.word} with {task.outputs} outputs"
            raise ConfigError("distill.standardize", "true", allowed)

    def build_projectors(self, student: Outputs, teacher: Outputs) -> None:
        if student.logits.shape != teacher.logits.shape:
            ours, theirs = student.logits.shape[-1], teacher.logits.shape[-1]
            allowed = f"a teacher with the student's {ours} outputs, this has {theirs} outputs"
            raise ConfigError("distill", self.method, allowed, "features cross tasks: distill=at")

    def term_weights(self) -> Mapping[str, float]:
        return self.weights

    @abstractmethod
    def match(self, student: Tensor, teacher: Tensor, target: Tensor) -> dict[str, Tensor]:
        """Terms by name, from logits (batch, outputs) and the task's targets."""

    def soft_terms(self, student: Tensor, teacher: Tensor, target: Tensor) -> dict[str, Tensor]:
        """``match`` of the logits, or of their z-scores."""
        if self.standardize:
            student, teacher = standardize(student), standardize(teacher)
        return self.match(student, teacher, target)

    def forward(
        self, student: Outputs, teacher: Outputs | None, target: Tensor
    ) -> dict[str, Tensor]:
        assert teacher is not None
        with torch.autocast(student.logits.device.type, enabled=False):
            own, given = student.logits.float(), teacher.logits.detach().float()
            terms = {"hard": self.task.hard_loss(own, target)}
            terms |= self.soft_terms(own, given, target)
        loss = torch.stack([w * terms[name] for name, w in self.weights.items()]).sum()
        return {"loss": loss, **terms}
