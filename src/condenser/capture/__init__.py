"""Tensors of named submodules, without touching the model."""

from condenser.capture.classifier import Classifier, Frozen, classifier_of, pooled_classifier_of
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
    "Classifier",
    "Frozen",
    "Pairs",
    "classifier_of",
    "device_of",
    "evaluating",
    "last_pair",
    "middle_pair",
    "penultimate_of",
    "penultimate_pair",
    "pooled_classifier_of",
    "preactivation_pairs",
    "preactivations_of",
    "stage_pairs",
    "stages_of",
    "watching",
]
