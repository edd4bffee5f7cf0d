"""Compression methods and the replayable operations that they leave behind."""

from condenser.compress.base import CalibrationData, Compression, Operation
from condenser.compress.channels import CutBlocks, CutChannels, CutHeads
from condenser.compress.factorization import Factorization, Factorized
from condenser.compress.masks.per_layer import PerLayerRates
from condenser.compress.masks.pruning import WeightPruning
from condenser.compress.masks.sparse import Sparse, computed, prunable, sparsity
from condenser.compress.masks.sparse_training import SparseTraining
from condenser.compress.merging import Merging
from condenser.compress.promises import Promise
from condenser.compress.quantization import (
    FoldBatchNorm,
    GridTraining,
    PostTraining,
    PruneAndQuantize,
    QuantizationAware,
    Quantized,
)
from condenser.compress.scores import Magnitude
from condenser.compress.sharing import KMeansSharing, Shared

__all__ = [
    "CalibrationData",
    "Compression",
    "CutBlocks",
    "CutChannels",
    "CutHeads",
    "Factorization",
    "Factorized",
    "FoldBatchNorm",
    "GridTraining",
    "KMeansSharing",
    "Magnitude",
    "Merging",
    "Operation",
    "PerLayerRates",
    "PostTraining",
    "Promise",
    "PruneAndQuantize",
    "QuantizationAware",
    "Quantized",
    "Shared",
    "Sparse",
    "SparseTraining",
    "WeightPruning",
    "computed",
    "prunable",
    "sparsity",
]
