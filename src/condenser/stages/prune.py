"""prune: weights become zero while the network trains on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from condenser.stages.base import Outcome, Workbench, flat
from condenser.stages.distill import objective
from condenser.stages.training import LABELS, TrainingStage

if TYPE_CHECKING:
    from condenser.store import Entry, Place


class Prune(TrainingStage):
    """Prunes the model of the stage before, learning from the teacher if there is one.

    ``prune.objective``: distill (the distill section's objective), labels, or auto: distill where
    the recipe has a teacher.
    """

    word: ClassVar[str] = "prune"
    takes_model: ClassVar[bool] = True

    @property
    def objective(self) -> Mapping[str, Any]:
        asked = self.settings["objective"]
        if asked == "labels" or (asked == "auto" and not self.taught):
            return LABELS
        return objective(self.config)

    @property
    def compression(self) -> Mapping[str, Any]:
        return {k: v for k, v in self.settings.items() if k not in ("optim", "objective")}

    def described(self) -> dict[str, Any]:
        learnt = flat("distill", self.objective) if self.uses_teacher else ()
        return super().described() | dict(learnt)

    def run(
        self, bench: Workbench, source: Entry | None, teacher: Entry | None, place: Place
    ) -> Outcome:
        from condenser.compress import prunable, sparsity

        outcome = super().run(bench, source, teacher, place)
        weights = prunable(outcome.model, self.settings.get("exclude", ()))
        outcome.facts["prune/achieved"] = sparsity(weights)
        return outcome
