"""prune: weights become zero while the network trains on."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from condenser.stages.base import Given, Outcome, Workbench
from condenser.stages.compression import CompressionStage

if TYPE_CHECKING:
    from condenser.store import Place


class Prune(CompressionStage):
    """Prunes the weights of the model of the stage before."""

    word: ClassVar[str] = "prune"

    def run(self, bench: Workbench, given: Given, place: Place) -> Outcome:
        from condenser.compress import prunable, sparsity

        outcome = super().run(bench, given, place)
        weights = prunable(outcome.model, self.settings.get("exclude", ()))
        outcome.facts["prune/achieved"] = sparsity(weights)
        return outcome
