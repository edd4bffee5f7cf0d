"""Where training takes a weight."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from condenser.compress.base import CalibrationData, State
from condenser.compress.layout import follow
from condenser.compress.scores.base import Criterion, Weights
from condenser.compress.scores.gradient import gradients, mean_of, of_step
from condenser.errors import count


class Movement(Criterion):
    """-Σ_t g_t·w_t over the steps so far: weights that training moves away from zero stay.

    w_t is the weight that g_t was taken at. Before the first step it is -g·w on
    calibration data. The paper lets dropped weights come back; here they do not.

    Args:
        images: of calibration, training images.
        batch: how many of them make one gradient.

    Source: Sanh, Wolf, Rush, "Movement Pruning: Adaptive Sparsity by Fine-Tuning", 2020,
    https://arxiv.org/abs/2005.07683
    """

    needs_data: ClassVar[bool] = True

    def __init__(self, images: int = 512, batch: int = 128) -> None:
        self.images, self.batch = count("criterion.images", images), count("criterion.batch", batch)

    def prepare(
        self, model: nn.Module, weights: Weights, calibration: CalibrationData | None
    ) -> None:
        assert calibration is not None
        self.weights, self.steps = dict(weights), 0
        self.before = [w.detach().clone() for w in weights.values()]
        means = mean_of(gradients(model, weights, calibration, self.images, self.batch))
        self.sums = [-g * w for g, w in zip(means, self.before, strict=True)]

    @torch.no_grad()
    def update(self) -> None:
        now = [w.detach() for w in self.weights.values()]
        self.sums, self.before = follow(self.sums, now), follow(self.before, now)
        if self.steps == 0:
            torch._foreach_zero_(self.sums)
        self.steps += 1
        torch._foreach_addcmul_(self.sums, of_step(self.weights), self.before, -1)
        # Masks and other stages' structure change these weights only where no score counts.
        torch._foreach_copy_(self.before, now)

    def __call__(self, name: str, weight: nn.Parameter) -> Tensor:
        self.sums = follow(self.sums, list(self.weights.values()))
        return self.sums[list(self.weights).index(name)]

    def state(self) -> State:
        sides = {"sum": self.sums, "before": self.before}
        kept = {
            f"{s}/{n}": t for s, ts in sides.items() for n, t in zip(self.weights, ts, strict=True)
        }
        return kept | {"steps": torch.tensor(self.steps)}

    def restore(self, state: State) -> None:
        self.sums, self.before = (
            [state[f"{side}/{name}"].clone() for name in self.weights] for side in ("sum", "before")
        )
        self.steps = int(state["steps"])
