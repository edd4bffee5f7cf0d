"""How much of each layer can go before accuracy does, one layer at a time."""

from condenser.analysis.curves import Curve, Score, rank, rates_for
from condenser.analysis.prunable_units import Knob, channel_knobs, weight_knobs
from condenser.analysis.sensitivity import RATES, sensitivity
from condenser.analysis.study import analyse, evaluator

__all__ = [
    "RATES",
    "Curve",
    "Knob",
    "Score",
    "analyse",
    "channel_knobs",
    "evaluator",
    "rank",
    "rates_for",
    "sensitivity",
    "weight_knobs",
]
