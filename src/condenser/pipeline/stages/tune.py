"""tune: the network trains on as it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from condenser.pipeline.stages.compression import CompressionStage


class Tune(CompressionStage):
    """Trains the model of the stage before on; what earlier stages made of it is kept.

    In a recipe, ``{tune: {}, times: 5, until: 0.98}`` trains until validation is content.
    """

    word: ClassVar[str] = "tune"

    @property
    def compression(self) -> Mapping[str, Any] | None:
        return None
