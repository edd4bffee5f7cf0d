"""The contract of an objective."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, NamedTuple

from torch import Tensor, nn


class Outputs(NamedTuple):
    """What a model gave for a batch.

    Attributes:
        logits: (batch, classes).
    """

    logits: Tensor


class Objective(nn.Module, ABC):
    """A loss to learn from. Parameters it owns (projectors) are trained beside the student."""

    needs_teacher: ClassVar[bool] = True

    @abstractmethod
    def forward(
        self, student: Outputs, teacher: Outputs | None, target: Tensor
    ) -> dict[str, Tensor]:
        """Scalars: ``"loss"``, the one to minimise, and each term of it under its own name."""
