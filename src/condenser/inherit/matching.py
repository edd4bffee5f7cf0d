"""Inherit tensors of equal name and shape."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn

from condenser.inherit.base import Inheritance, Inherited, fill


class Matching(Inheritance):
    """Copy every parameter and buffer whose name and shape the teacher has too.

    Raises:
        ConfigError: no weight matches.
    """

    word: ClassVar[str] = "matching"

    def __call__(self, student: nn.Module, teacher: nn.Module, image: Tensor) -> Inherited:
        return fill(student, teacher.state_dict(), self.word)
