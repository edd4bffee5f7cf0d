"""The contract of a criterion: how much each weight, and each channel, is worth keeping."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar

from torch import Tensor, nn

from condenser.compress.base import CalibrationData, State
from condenser.compress.groups import OUT, Group
from condenser.compress.scores.reduction import Scores, sums, weights_of
from condenser.errors import ConfigError

Weights = Mapping[str, nn.Parameter]


class Criterion(ABC):
    """Scores of weights, asked for as often as masks move, and of channels, for a cut.

    The score of a kernel, filter or neuron (``granularity``) is the sum over its weights, and a
    channel's is too unless the criterion says otherwise. Scopes compare scores across layers: a
    criterion's own scores are made so that both mean what its paper means.

    Attributes:
        needs_data: it cannot do without calibration data.
        sides: the weights that count for a channel: those that make it, those that read it.
    """

    needs_data: ClassVar[bool] = False
    sides: tuple[str, ...] = (OUT,)

    def select(self, model: nn.Module, layers: Sequence[str]) -> list[str]:
        """Those of ``layers`` that it can score; the others are left alone.

        Raises:
            ConfigError: it can score none of them.
        """
        return list(layers)

    def prepare(  # noqa: B027
        self, model: nn.Module, weights: Weights, calibration: CalibrationData | None
    ) -> None:
        """Look at the network before training; ``weights`` by layer name. Modes stay as they are.

        Raises:
            ConfigError: a layer of which the calibration data say nothing.
        """

    def update(self) -> None:  # noqa: B027
        """After each optimiser step, as long as masks still move; gradients are there."""

    @abstractmethod
    def __call__(self, name: str, weight: nn.Parameter) -> Tensor:
        """Scores of the weight's shape, high = keep. May depend on the weight as it is now."""

    def channels(
        self, model: nn.Module, groups: list[Group], calibration: CalibrationData | None
    ) -> Scores:
        """(size,) scores of each group's channels, high = keep.

        Raises:
            ConfigError: it looks at training images, and there are none.
        """
        if self.needs_data:
            self.needed(calibration)
        weights = {p.layer: w for g in groups for p, w in weights_of(model, g, self.sides)}
        self.prepare(model, weights, calibration)
        return {group.name: sums(model, group, self.sides, self) for group in groups}

    def needed(self, calibration: CalibrationData | None) -> CalibrationData:
        """The training images that a cut looks at."""
        if calibration is None:
            allowed = "one that needs no data, such as Norm: there are no training images here"
            raise ConfigError("cut.criterion", type(self).__name__, allowed)
        return calibration

    def state(self) -> State:
        """What ``update`` remembers."""
        return {}

    def restore(self, state: State) -> None:  # noqa: B027
        """Go on from ``state``, after ``prepare`` on the same model."""


class Plain(Criterion):
    """A function of a layer's name and its weight."""

    def __init__(self, score: Callable[[str, nn.Parameter], Tensor]) -> None:
        self.score = score

    def __call__(self, name: str, weight: nn.Parameter) -> Tensor:
        return self.score(name, weight)
