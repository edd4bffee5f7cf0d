"""Per-layer pruning rates, set by hand or from a sensitivity analysis."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from condenser.compress.masks.granularity import Granularity
from condenser.compress.patterns import matches
from condenser.errors import ConfigError, below_one
from condenser.functional.pruning import Scope, Shapes, keep_largest

BELOW_ONE = "a number from 0 up to, not including, 1"


class PerLayerRates:
    """A scope in which each layer has its own rate.

    Args:
        rates: pattern of layer names → fraction of zeros at the end, in [0, 1). Of several that
            match a layer the last counts; a layer that none matches keeps all its weights. In a
            config also the path of a sensitivity.json, which the stage has read by then.

    Raises:
        ConfigError: no rates, or one out of range.
    """

    def __init__(self, rates: Mapping[str, float] | str) -> None:
        if isinstance(rates, str) or not rates:
            raise ConfigError("prune.scope.rates", rates, "a rate for at least one layer")
        for pattern, rate in rates.items():
            below_one(f"prune.scope.rates.{pattern}", rate)
        self.rates = dict(rates)

    def __call__(
        self, scores: dict[str, Tensor], share: float, shapes: Shapes | None = None
    ) -> dict[str, Tensor]:
        """Masks at ``share`` in [0, 1] of the rates."""
        return {name: keep_largest(s, share * self.rate(name)) for name, s in scores.items()}

    def rate(self, layer: str) -> float:
        """The layer's final pruning rate."""
        return [0.0, *(r for p, r in self.rates.items() if matches(layer, [p]))][-1]


def agreed_rate(rate: float | None, scope: Scope, granularity: Granularity) -> float:
    """The final rate: that of the settings, or of a scope or granularity that has its own.

    Under ``PerLayerRates`` it is 1, the whole of each layer's.

    Raises:
        ConfigError: nothing says the rate, or two say it differently.
    """
    own = granularity.rate
    if isinstance(scope, PerLayerRates):
        if rate is not None or own is not None:
            allowed = "null with prune.scope.rates, which go with no n:m granularity"
            raise ConfigError("prune.rate", own if rate is None else rate, allowed)
        return 1.0
    if rate is None and own is None:
        raise ConfigError("prune.rate", "null", BELOW_ONE)
    if rate is not None and own is not None and abs(rate - own) > 1e-6:
        raise ConfigError("prune.rate", rate, f"null or {own:g}, which the granularity leaves")
    return own if rate is None else rate  # type: ignore[return-value]
