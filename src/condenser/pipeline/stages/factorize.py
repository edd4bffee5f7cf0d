"""factorize: layers become products of thinner ones."""

from __future__ import annotations

from typing import ClassVar

from condenser.pipeline.stages.compression import CompressionStage


class Factorize(CompressionStage):
    """Replaces layers of the model of the stage before by low-rank products."""

    word: ClassVar[str] = "factorize"
