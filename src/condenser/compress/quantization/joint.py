"""Pruning and quantisation in one training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import inf

from torch import Tensor, nn

from condenser.compress.base import CalibrationData, Operation, Patterns, State
from condenser.compress.masks.pruning import WeightPruning
from condenser.compress.promises import Promise
from condenser.compress.quantization.aware import QuantizationAware
from condenser.errors import ConfigError


@dataclass(eq=False)
class PruneAndQuantize(QuantizationAware):
    """Weights are rounded in every forward pass, and meanwhile pruned on ``prune``'s schedule.

    ŵ = s·clamp(round(m∘w/s), low, high): masks m are chosen by the scores of w, not of ŵ, since few
    bits tell few weights apart. Rounding may make more zeros than were asked for, never fewer.

    Args:
        prune: which weights, how many and when.

    Raises:
        ConfigError: no ``prune``.
    """

    prune: WeightPruning | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.prune, WeightPruning):
            allowed = "a condenser.compress.WeightPruning, as quantize=joint has"
            raise ConfigError("quantize.prune", self.prune, allowed)
        self.pruning = self.prune

    def named(self, model: nn.Module, image: Tensor | None) -> dict[str, Patterns]:
        pruned = self.pruning.named(model, image).items()
        return {**super().named(model, image), **{f"quantize.{k}": p for k, p in pruned}}

    def check(self, model: nn.Module, image: Tensor) -> None:
        super().check(model, image)
        self.pruning.check(model, image)

    def prepare(self, model: nn.Module, calibration: CalibrationData | None = None) -> None:
        self.pruning.prepare(model, calibration)
        super().prepare(model, calibration)

    def step(self, progress: float) -> None:
        self.pruning.step(progress)

    @property
    def ready(self) -> bool:
        return self.pruning.ready

    def state(self) -> State:
        return self.pruning.state()

    def restore(self, state: State) -> None:
        self.pruning.restore(state)

    def finish(self) -> list[Operation]:
        return [*self.pruning.finish(), *super().finish()]

    def promises(self) -> list[Promise]:
        pruned = self.pruning.promises()
        least = [replace(p, key=f"prune.{p.key}", more=inf) for p in pruned]
        return [*super().promises(), *least]

    def metrics(self) -> Mapping[str, str | float]:
        pruned = {f"prune/{key}": value for key, value in self.pruning.metrics().items()}
        return {**super().metrics(), **pruned}
