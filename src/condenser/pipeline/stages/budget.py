"""budget: the smallest network that keeps to a size and an accuracy, searched for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from condenser.pipeline.stages.base import RunContext, Stage, StageInputs, StageResult


class Budget(Stage):
    """Stands in a recipe where prune, then share or quantize will: how much of each is searched.

    A run tries recipes and puts the stages of the one it chooses in this one's place
    (``condenser.pipeline.budget``), so that every network of the search is an ordinary stage's.
    """

    word: ClassVar[str] = "budget"
    takes_model: ClassVar[bool] = True
    trains: ClassVar[bool] = True

    def accept(self) -> None:
        from condenser.pipeline import budget

        for params in budget.corners(self.settings):
            self._planned(params)

    def check(self, ctx: RunContext) -> None:
        from condenser.pipeline import budget

        ctx.build(self.settings["sampler"])(seed=0)
        for params in budget.corners(self.settings):
            for stage in self._planned(params)[self.position :]:
                stage.check(ctx)

    def _planned(self, params: Mapping[str, Any]) -> list[Stage]:
        from condenser.pipeline import budget, recipe

        return recipe.plan(budget.trial(self.config, self.position, params))

    def ingredients(self) -> dict[str, Any]:
        return dict(self.settings)

    def run(self, ctx: RunContext, inputs: StageInputs, place: Any) -> StageResult:
        raise AssertionError("a run puts the stages that it found in the place of budget")
