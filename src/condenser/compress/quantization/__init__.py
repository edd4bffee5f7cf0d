"""Quantisation of weights and activations."""

from condenser.compress.quantization.aware import QuantizationAware
from condenser.compress.quantization.folding import folded
from condenser.compress.quantization.grid import GridTraining
from condenser.compress.quantization.joint import PruneAndQuantize
from condenser.compress.quantization.operation import FoldBatchNorm, Quantized
from condenser.compress.quantization.post_training import PostTraining
from condenser.compress.quantization.quantizers import (
    InputQuantizer,
    quantize_input,
    quantize_output,
    unhook,
)
from condenser.compress.quantization.sites import weight_name
from condenser.compress.quantization.tracing import foldable

__all__ = [
    "FoldBatchNorm",
    "GridTraining",
    "InputQuantizer",
    "PostTraining",
    "PruneAndQuantize",
    "QuantizationAware",
    "Quantized",
    "foldable",
    "folded",
    "quantize_input",
    "quantize_output",
    "unhook",
    "weight_name",
]
