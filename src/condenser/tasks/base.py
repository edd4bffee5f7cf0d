"""The interface of a task: what logits mean."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from condenser.functional.losses import soft_loss

NOTHING = -100  # of a target: no decision is asked for here


@dataclass(frozen=True)
class Task(ABC):
    """What a network's logits mean.

    Attributes:
        outputs: length of the logits.
        word: its name in data sets and records.
        like: the task that its decisions are, for objectives and metrics.
        target: dtype and shape of the targets, for messages.
        chosen: the metric on validation that chooses a model.
        sign: -1 where less of that is better.
        named: whether the outputs are classes that a record tells apart.
        by_sample: whether a network answers a sample with one row of logits.
        generates: whether what counts in the end are texts, made token by token.
    """

    outputs: int
    word: ClassVar[str]
    like: ClassVar[str]
    target: ClassVar[str]
    chosen: ClassVar[str] = "accuracy"
    sign: ClassVar[int] = 1
    named: ClassVar[bool] = True
    by_sample: ClassVar[bool] = True
    generates: ClassVar[bool] = False

    def decisions(self, logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (n, choices) and targets of the decisions that are asked for; called once where a
        batch is trained on or measured. All below takes what it returns."""
        return logits, target

    def loss(self, logits: Tensor, target: Tensor) -> Tensor:
        """``hard_loss`` of a network's answer."""
        return self.hard_loss(*self.decisions(logits, target))

    def credit(self, logits: Tensor, target: Tensor) -> Tensor:
        """Of each decision, what the mean over a set is the metric ``chosen`` of."""
        return (self.decide(logits) == target).float()

    @abstractmethod
    def hard_loss(self, logits: Tensor, target: Tensor) -> Tensor:
        """Loss on the labels, mean over all decisions."""

    def soft_loss(self, student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
        """T² · KL of the teacher's and the student's softened outputs, mean over all decisions.

        The same mean as in ``hard_loss``, so that α weighs both equally however many labels there
        are. Hinton et al. 2015, https://arxiv.org/abs/1503.02531
        """
        return soft_loss(self.choices(student), self.choices(teacher), temperature)

    @abstractmethod
    def choices(self, logits: Tensor) -> Tensor:
        """(decisions, alternatives) logits whose softmax gives each decision's probabilities.

        One row per decision of the batch: one per sample, or samples times labels.
        """

    @abstractmethod
    def decide(self, logits: Tensor) -> Tensor:
        """The most likely target, in the target's shape and dtype."""

    @abstractmethod
    def fits(self, targets: Tensor) -> bool:
        """Whether these are valid targets of the task."""
