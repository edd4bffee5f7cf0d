"""A compression that does its work before the first training step."""

from __future__ import annotations

from abc import abstractmethod

from torch import Tensor, nn

from condenser.compress.base import AtOnce, CalibrationData
from condenser.errors import ConfigError


class Structural(AtOnce):
    """Cuts in ``prepare``; what follows is fine-tuning of the smaller network.

    Attributes:
        skipped: what cannot be cut → why, after ``prepare``.
    """

    def prepare(self, model: nn.Module, calibration: CalibrationData | None = None) -> None:
        """Cut in place.

        Raises:
            ConfigError: nothing can be cut, or not so much; there is no calibration.
        """
        if calibration is None:
            allowed = "a stage with training images: one is run to see how the layers connect"
            raise ConfigError("cut", type(self).__name__, allowed)
        images, _ = calibration.sample(1)
        if not calibration.operations:
            self.refuse_unmatched(model, images[:1])
        self.skipped, self.operations = {}, []
        self.cut(model, images[:1], calibration)

    @abstractmethod
    def cut(self, model: nn.Module, image: Tensor, calibration: CalibrationData) -> None:
        """Fill ``operations`` and ``skipped``, and apply the operations; image: (1, C, H, W)."""


def first_reasons(skipped: dict[str, str], count: int = 2) -> str:
    """A few of the reasons, for an error's hint."""
    some = list(skipped.items())[:count]
    return "; ".join(f"{name}: {reason}" for name, reason in some)
