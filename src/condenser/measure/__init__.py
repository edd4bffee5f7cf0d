"""Measurements of a model: quality, size, compute, latency, energy, and the environment."""

from condenser.capture.conditions import settled
from condenser.measure.classes import accuracy_by_class, damage
from condenser.measure.compute import compute
from condenser.measure.counters import above_idle, joules
from condenser.measure.energy import Widths, energy
from condenser.measure.environment import arithmetic, commit, device_kind, hardware, versions
from condenser.measure.latency import (
    call_latency,
    interleaved,
    latency,
    torch_call,
    torch_latency,
)
from condenser.measure.quality import Predictions, predict, quality
from condenser.measure.similarity import cka, linear_cka
from condenser.measure.size import LayerSize, layers, size
from condenser.measure.texts import bleu_and_chrf, translations

__all__ = [
    "LayerSize",
    "Predictions",
    "Widths",
    "above_idle",
    "accuracy_by_class",
    "arithmetic",
    "bleu_and_chrf",
    "call_latency",
    "cka",
    "commit",
    "compute",
    "damage",
    "device_kind",
    "energy",
    "hardware",
    "interleaved",
    "joules",
    "latency",
    "layers",
    "linear_cka",
    "predict",
    "quality",
    "settled",
    "size",
    "torch_call",
    "torch_latency",
    "translations",
    "versions",
]
