"""Prune one unit at a time, measure the drop, restore the weights."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from torch import nn

from condenser.analysis.curves import Curve, Score
from condenser.analysis.prunable_units import PrunableUnit
from condenser.capture import evaluating
from condenser.errors import CondenserError, ConfigError

RATES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
NO_EFFECT = "nothing changes, even with all of it at zero"


def sensitivity(
    model: nn.Module,
    evaluate: Callable[[nn.Module], Score],
    units: Sequence[PrunableUnit],
    rates: Sequence[float] = RATES,
) -> tuple[list[Curve], dict[str, str]]:
    """The curve of each unit, and layer → why it has none.

    One unit is pruned at a time; afterwards every weight is restored bit for bit, also after an
    exception. A unit that does not affect the output at all is unused, not robust: it gets no
    curve.

    Args:
        evaluate: model, in its current mode → score on fixed data.
        rates: fractions to prune, in (0, 1); each is rounded to whole weights or channels.

    Raises:
        ConfigError: a rate out of range. CondenserError: the model's own loss is not finite.

    Source: Han, Pool, Tran, Dally, "Learning both Weights and Connections for Efficient Neural
    Networks", 2015, https://arxiv.org/abs/1506.02626 (figure 6); of filters: Li et al., "Pruning
    Filters for Efficient ConvNets", 2017, https://arxiv.org/abs/1608.08710 (figure 2)
    """
    bad = [rate for rate in rates if not 0 < rate < 1]
    if bad or not rates:
        raise ConfigError("rates", bad or list(rates), "numbers above 0 and below 1")
    with evaluating(model):
        base = evaluate(model)
        if not math.isfinite(base.loss):
            raise CondenserError("the model's loss is not finite: there is nothing to lose")
        curves: list[Curve] = []
        left: dict[str, str] = {}
        for unit in units:
            curve = measured(model, evaluate, unit, rates, base)
            if isinstance(curve, Curve):
                curves.append(curve)
            else:
                left |= dict.fromkeys(unit.layers, curve)
    return curves, left


def measured(
    model: nn.Module,
    evaluate: Callable[[nn.Module], Score],
    unit: PrunableUnit,
    rates: Sequence[float],
    base: Score,
) -> Curve | str:
    """The curve of one unit, or why it has none."""
    counts = sorted({round(rate * unit.size) for rate in rates} - {0, unit.size})
    if not counts:
        return f"of its {unit.size} none can go at these rates"
    scores = []
    with put_back(unit):
        for count in counts:
            unit.prune(count)
            scores.append(evaluate(model))
        unit.prune(unit.size)
        if evaluate(model) == base:
            return NO_EFFECT
    fractions = [count / unit.size for count in (0, *counts)]
    accuracy, loss = (list(values) for values in zip(base, *scores, strict=True))
    return Curve(unit.name, list(unit.layers), unit.size, fractions, accuracy, loss)


@contextmanager
def put_back(unit: PrunableUnit) -> Iterator[None]:
    """Restore the unit's tensors on exit."""
    saved = [tensor.clone() for tensor in unit.tensors]
    try:
        yield
    finally:
        for tensor, before in zip(unit.tensors, saved, strict=True):
            tensor.copy_(before)
