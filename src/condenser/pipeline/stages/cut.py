"""cut: channels, heads or blocks are taken out."""

from __future__ import annotations

from typing import ClassVar

from condenser.pipeline.stages.compression import CompressionStage


class Cut(CompressionStage):
    """Removes structure of the model of the stage before; what is left is a smaller dense model."""

    word: ClassVar[str] = "cut"
