"""share: weights come from a small codebook."""

from __future__ import annotations

from typing import ClassVar

from condenser.pipeline.stages.compression import CompressionStage


class Share(CompressionStage):
    """Clusters the weights of the model of the stage before and trains the codebook on."""

    word: ClassVar[str] = "share"
