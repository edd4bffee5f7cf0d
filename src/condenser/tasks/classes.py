"""Multiclass, multilabel and binary classification."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from condenser.errors import ConfigError
from condenser.functional.losses import binary_loss, hard_loss, yes_or_no
from condenser.tasks.base import Task


@dataclass(frozen=True)
class Multiclass(Task):
    """One of the classes. Logits (batch, classes); target int64 (batch,)."""

    weights: tuple[float, ...] | None = None  # of classes in the loss on labels
    word: ClassVar[str] = "multiclass"
    like: ClassVar[str] = "multiclass"
    target: ClassVar[str] = "torch.int64 (samples,), each at least 0 and below the number of names,"

    def hard_loss(self, logits: Tensor, target: Tensor) -> Tensor:
        return hard_loss(logits, target, self.weights)

    def choices(self, logits: Tensor) -> Tensor:
        return logits

    def decide(self, logits: Tensor) -> Tensor:
        return logits.argmax(dim=1)

    def fits(self, targets: Tensor) -> bool:
        known = ((targets >= 0) & (targets < self.outputs)).all()
        return targets.dtype == torch.int64 and targets.ndim == 1 and bool(known)


@dataclass(frozen=True)
class Multilabel(Task):
    """Yes or no for every label. Logits (batch, labels); target float32 (batch, labels), 0 or 1.

    Each label is an independent decision, p(yes) = σ(z); the losses are means over batch and
    labels: binary cross-entropy, and T² · KL of the Bernoullis σ(z/T).
    """

    word: ClassVar[str] = "multilabel"
    like: ClassVar[str] = "multilabel"
    target: ClassVar[str] = "torch.float32 (samples, names) of 0 and 1"

    def hard_loss(self, logits: Tensor, target: Tensor) -> Tensor:
        return binary_loss(logits, target)

    def choices(self, logits: Tensor) -> Tensor:
        return yes_or_no(logits)

    def decide(self, logits: Tensor) -> Tensor:
        return (logits > 0).float()

    def fits(self, targets: Tensor) -> bool:
        return targets.dtype == torch.float32 and targets.shape[1:] == (self.outputs,)


@dataclass(frozen=True)
class Binary(Multilabel):
    """Yes or no. Logits (batch, 1); target float32 (batch, 1), 0 or 1."""

    word: ClassVar[str] = "binary"
    like: ClassVar[str] = "binary"

    def __post_init__(self) -> None:
        if self.outputs != 1:
            allowed = "one name, of what is to be told from the rest, where the task is binary"
            raise ConfigError("data.classes", f"{self.outputs} names", allowed)
