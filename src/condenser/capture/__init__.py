"""Tensors of named submodules, without touching the model."""

from condenser.capture.conditions import device_of, evaluating
from condenser.capture.hooks import Capture
from condenser.capture.layers import (
    Pairs,
    last_pair,
    middle_pair,
    penultimate_of,
    penultimate_pair,
    preactivation_pairs,
    preactivations_of,
    stage_pairs,
    stages_of,
)
from condenser.capture.watching import watching

__all__ = [
    "Capture",
    "Pairs",
    "device_of",
    "evaluating",
    "last_pair",
    "middle_pair",
    "penultimate_of",
    "penultimate_pair",
    "preactivation_pairs",
    "preactivations_of",
    "stage_pairs",
    "stages_of",
    "watching",
]
