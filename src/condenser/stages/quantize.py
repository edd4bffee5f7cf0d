"""quantize: weights and activations rounded to few bits, without training."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from condenser.stages.base import Given, Outcome, Stage, Workbench

if TYPE_CHECKING:
    from condenser.store import Place


class Quantize(Stage):
    """Rounds the model of the stage before, with ranges calibrated on training images.

    The result is the simulated network: it computes, in float, what the integer file computes.
    ``export`` writes that file.
    """

    word: ClassVar[str] = "quantize"
    takes_model: ClassVar[bool] = True

    def ingredients(self) -> dict[str, Any]:
        return {"compression": dict(self.settings)}

    def check(self, bench: Workbench) -> None:
        bench.build(self.settings)

    def run(self, bench: Workbench, given: Given, place: Place) -> Outcome:
        assert given.source is not None
        blueprint, model = given.source.load(bench.trusted)
        count = min(self.settings["images"], bench.data.train_size)
        images = bench.data.calibration(count)
        operations = bench.build(self.settings)(model, images)
        return Outcome(blueprint.then(operations), model)
