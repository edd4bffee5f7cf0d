"""The contract of an objective."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from math import inf
from types import MappingProxyType
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from condenser.errors import ConfigError
from condenser.functional.logit_losses import standardize
from condenser.functional.losses import hard_loss


class Outputs(NamedTuple):
    """What a model gave for a batch.

    Attributes:
        logits: (batch, classes).
        features: of the layers that the objective watches, by name.
        index: (batch,) the samples' positions in the training set.
    """

    logits: Tensor
    features: Mapping[str, Tensor] = MappingProxyType({})
    index: Tensor | None = None


class Objective(nn.Module, ABC):
    """A loss to learn from. Parameters it owns (projectors) are trained beside the student.

    Attributes:
        student_layers, teacher_layers: whose features it wants to see, as ``Capture`` names them.
    """

    needs_teacher: ClassVar[bool] = True
    student_layers: Sequence[str] = ()
    teacher_layers: Sequence[str] = ()

    def choose(self, student: nn.Module, teacher: nn.Module, image: Tensor) -> None:
        """Settle on layers; ``image`` (batch, channels, height, width) is to try networks on."""
        return

    def connect(self, student: Outputs, teacher: Outputs) -> None:
        """Build what depends on features' shapes; called once, with the outputs for an example."""
        return

    @abstractmethod
    def forward(
        self, student: Outputs, teacher: Outputs | None, target: Tensor
    ) -> dict[str, Tensor]:
        """Scalars: ``"loss"``, the one to minimise, and each term of it under its own name."""

    def shares(self) -> Mapping[str, float]:
        """The weight of each term in the loss now; none where the loss is one term."""
        return {}

    def progress(self, done: float) -> None:
        """Told before each optimiser step: the part of training that lies behind, from 0 to 1."""
        return


class LogitObjective(Objective):
    """L = Σ weight · term: the cross-entropy with the labels, ``hard``, and what ``match`` gives.

    In float32 with autocast off, and without gradients to the teacher, whatever the method.

    Args:
        weights: of the terms in the loss, by name; a term without one is only reported.
        standardize: ``match`` sees z-scores of both logits; ``hard`` does not (Sun et al. 2024,
            https://arxiv.org/abs/2403.01427).

    Raises:
        ConfigError: standardize is neither true nor false.
    """

    def __init__(self, weights: dict[str, float], standardize: bool = False) -> None:
        super().__init__()
        if not isinstance(standardize, bool):
            raise ConfigError("distill.standardize", standardize, "true or false")
        self.weights, self.standardize = weights, standardize

    def shares(self) -> Mapping[str, float]:
        return self.weights

    @abstractmethod
    def match(self, student: Tensor, teacher: Tensor, target: Tensor) -> dict[str, Tensor]:
        """Terms by name, from logits (batch, classes) and class indices (batch,)."""

    def forward(
        self, student: Outputs, teacher: Outputs | None, target: Tensor
    ) -> dict[str, Tensor]:
        assert teacher is not None
        with torch.autocast(student.logits.device.type, enabled=False):
            own, given = student.logits.float(), teacher.logits.detach().float()
            terms = {"hard": hard_loss(own, target)}
            if self.standardize:
                own, given = standardize(own), standardize(given)
            terms |= self.match(own, given, target)
        loss = torch.stack([w * terms[name] for name, w in self.weights.items()]).sum()
        return {"loss": loss, **terms}


def positive(key: str, value: float) -> float:
    """``value`` if it is finite and above 0, else a ConfigError that names ``distill.key``."""
    if not number(value) or not 0 < value < inf:
        raise ConfigError(f"distill.{key}", value, "a finite number above 0")
    return value


def weight(key: str, value: float) -> float:
    """``value`` if it is finite and at least 0, else a ConfigError that names ``distill.key``."""
    if not number(value) or not 0 <= value < inf:
        raise ConfigError(f"distill.{key}", value, "a finite number of at least 0")
    return value


def share(key: str, value: float) -> float:
    """``value`` if it is from 0 to 1, else a ConfigError that names ``distill.key``."""
    if not number(value) or not 0 <= value <= 1:
        raise ConfigError(f"distill.{key}", value, "a number from 0 to 1")
    return value


def number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def need_three_classes(method: str, logits: Tensor) -> None:
    """Refuse two classes by the method's name: nothing is to be told apart besides the target."""
    if logits.shape[1] < 3:
        allowed = f"data of 3 classes or more, this has {logits.shape[1]}"
        raise ConfigError("distill", method, allowed, "use distill=kd")
