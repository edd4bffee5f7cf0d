"""budget: the smallest network that keeps to a size and an accuracy, searched for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from condenser.pipeline.stages.base import Given, Outcome, Stage, Workbench


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

    def check(self, bench: Workbench) -> None:
        from condenser.pipeline import budget

        bench.build(self.settings["sampler"])(seed=0)
        for params in budget.corners(self.settings):
            for stage in self._planned(params)[self.position :]:
                stage.check(bench)

    def _planned(self, params: Mapping[str, Any]) -> list[Stage]:
        from condenser.pipeline import budget, recipe

        return recipe.plan(budget.trial(self.config, self.position, params))

    def ingredients(self) -> dict[str, Any]:
        return dict(self.settings)

    def run(self, bench: Workbench, given: Given, place: Any) -> Outcome:
        raise AssertionError("a run puts the stages that it found in the place of budget")
