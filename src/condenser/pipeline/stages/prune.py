"""prune: weights become zero while the network trains on."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from condenser.errors import ConfigError, DamagedError
from condenser.files import loads, read_bytes
from condenser.pipeline.stages.base import RunContext, StageInputs, StageResult
from condenser.pipeline.stages.compression import CompressionStage
from condenser.pipeline.stages.training import own

if TYPE_CHECKING:
    from condenser.store import StageDir


class Prune(CompressionStage):
    """Prunes the weights of the model of the stage before."""

    word: ClassVar[str] = "prune"

    @property
    def compression(self) -> Mapping[str, Any] | None:
        method = own(self.settings)
        scope = method.get("scope")
        if isinstance(scope, Mapping) and isinstance(scope.get("rates"), str):
            method["scope"] = {**scope, "rates": analysed(scope["rates"])}
        return method

    def run(self, ctx: RunContext, inputs: StageInputs, place: StageDir) -> StageResult:
        from condenser import measure

        outcome = super().run(ctx, inputs, place)
        found = measure.size(outcome.model)
        outcome.metrics["prune/achieved_of_all"] = 1 - found["nonzero"] / found["params"]
        return outcome


def analysed(path: str) -> dict[str, float]:
    """The rates that a sensitivity analysis found, by layer.

    Raises:
        ConfigError: it is no file that src/sensitivity.py wrote.
    """
    try:
        return dict(loads(read_bytes(Path(path)))["rates"])
    except (OSError, DamagedError, ValueError, KeyError, TypeError) as error:
        allowed = "rates by layer, or the sensitivity.json that src/sensitivity.py wrote"
        raise ConfigError("prune.scope.rates", path, allowed) from error
