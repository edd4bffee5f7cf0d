"""Pruning sensitivity per layer: accuracy against the rate of one layer at a time."""

from condenser.analysis.curves import Curve, Score, rank, rates_for
from condenser.analysis.prunable_units import PrunableUnit, channel_units, weight_units
from condenser.analysis.sensitivity import RATES, sensitivity
from condenser.analysis.study import analyse, evaluator

__all__ = [
    "RATES",
    "Curve",
    "PrunableUnit",
    "Score",
    "analyse",
    "channel_units",
    "evaluator",
    "rank",
    "rates_for",
    "sensitivity",
    "weight_units",
]
