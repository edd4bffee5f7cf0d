"""sparse: training with a penalty that drives weights or channels to zero, before prune or cut."""

from __future__ import annotations

from typing import ClassVar

from condenser.pipeline.stages.compression import CompressionStage


class Sparse(CompressionStage):
    """Trains the model of the stage before on with a sparsity penalty; no zero is fixed."""

    word: ClassVar[str] = "sparse"
    color: ClassVar[str] = "#e69f00"
    marker: ClassVar[str] = "d"
