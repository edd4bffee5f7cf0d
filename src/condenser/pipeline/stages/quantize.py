"""quantize: weights and activations rounded to few bits, after training or while it goes on."""

from __future__ import annotations

from typing import ClassVar

from condenser.errors import ConfigError
from condenser.pipeline.stages.base import RunContext
from condenser.pipeline.stages.compression import CompressionStage


class Quantize(CompressionStage):
    """Rounds the model of the stage before, with ranges calibrated on training images.

    The result is the simulated network: it computes, in float, what the integer file computes.
    ``export`` writes that file.
    """

    word: ClassVar[str] = "quantize"

    def check(self, ctx: RunContext) -> None:
        super().check(ctx)
        assert self.compression is not None
        epochs, built = self.settings["optim"]["epochs"], ctx.build(self.compression)
        if epochs and not built.trains:
            allowed = f"0 with {type(built).__name__}, which rounds what was trained"
            raise ConfigError("quantize.epochs", epochs, allowed, "quantize=lsq trains")
