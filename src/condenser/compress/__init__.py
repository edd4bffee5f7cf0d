"""What makes a model smaller, and the operations that rebuild what it made."""

from condenser.compress.base import Compression, Operation, Probe
from condenser.compress.criteria import Magnitude
from condenser.compress.pruning import Sparse, WeightPruning, prunable, sparsity
from condenser.compress.quantization import FoldBatchNorm, PostTraining, Quantized

__all__ = [
    "Compression",
    "FoldBatchNorm",
    "Magnitude",
    "Operation",
    "PostTraining",
    "Probe",
    "Quantized",
    "Sparse",
    "WeightPruning",
    "prunable",
    "sparsity",
]
