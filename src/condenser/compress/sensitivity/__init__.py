"""How much of each layer can go before accuracy does, one layer at a time."""

from condenser.compress.sensitivity.analysis import RATES, sensitivity
from condenser.compress.sensitivity.curves import Curve, Score, rank, rates_for
from condenser.compress.sensitivity.knobs import Knob, channel_knobs, weight_knobs
from condenser.compress.sensitivity.study import analyse, evaluator

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
