"""merge: similar neurons or channels become one."""

from __future__ import annotations

from typing import ClassVar

from condenser.pipeline.stages.compression import CompressionStage


class Merge(CompressionStage):
    """Merges what is alike in the model of the stage before, its function kept as far as can be."""

    word: ClassVar[str] = "merge"
