"""What a model costs and how good it is: quality, size, compute, latency; and measured where."""

from condenser.measure.classes import accuracy_by_class, damage
from condenser.measure.compute import compute
from condenser.measure.conditions import evaluating, settled
from condenser.measure.environment import commit, hardware, versions
from condenser.measure.latency import (
    interleaved,
    latency,
    onnx_call,
    onnx_latency,
    torch_call,
    torch_latency,
)
from condenser.measure.quality import Predictions, predict, quality
from condenser.measure.similarity import cka, linear_cka
from condenser.measure.size import LayerSize, layers, size

__all__ = [
    "LayerSize",
    "Predictions",
    "accuracy_by_class",
    "cka",
    "commit",
    "compute",
    "damage",
    "evaluating",
    "hardware",
    "interleaved",
    "latency",
    "layers",
    "linear_cka",
    "onnx_call",
    "onnx_latency",
    "predict",
    "quality",
    "settled",
    "size",
    "torch_call",
    "torch_latency",
    "versions",
]
