"""What criteria that read gradients have in common."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import ClassVar

import torch
from torch import Tensor, nn

from condenser.capture import evaluating
from condenser.compress.base import CalibrationData, State
from condenser.compress.layout import follow
from condenser.compress.scores.base import Criterion, Weights
from condenser.errors import ConfigError, below_one, count


class GradientMean(Criterion):
    """A mean over batches of a term x of the loss's gradient, for each weight.

    Before the first step: the plain mean over batches of calibration data, in eval mode. From then
    on it is the exponential mean of the training steps' own gradients, with no pass of its own:
    Σ_i β^(t-i) x_i / Σ_i β^(t-i).

    Args:
        images: of calibration, training images.
        batch: how many of them make one gradient.
        decay: β in [0, 1); 0.99 remembers about a hundred steps.

    Raises:
        ConfigError: a setting out of range.
    """

    needs_data: ClassVar[bool] = True

    def __init__(self, images: int = 512, batch: int = 128, decay: float = 0.99) -> None:
        self.images, self.batch = count("criterion.images", images), count("criterion.batch", batch)
        self.decay = below_one("criterion.decay", decay)

    @abstractmethod
    def terms(self, gradients: list[Tensor]) -> list[Tensor]:
        """x for each layer's gradient."""

    def prepare(
        self, model: nn.Module, weights: Weights, calibration: CalibrationData | None
    ) -> None:
        assert calibration is not None
        self.weights, self.steps = dict(weights), 0
        batches = gradients(model, weights, calibration, self.images, self.batch)
        self.means = mean_of(self.terms(batch) for batch in batches)

    @torch.no_grad()
    def update(self) -> None:
        self.steps += 1
        self.means = follow(self.means, list(self.weights.values()))
        share = (1 - self.decay) / (1 - self.decay**self.steps)  # 1 in the first step
        torch._foreach_lerp_(self.means, self.terms(of_step(self.weights)), share)

    def mean(self, name: str) -> Tensor:
        """The layer's mean, of its weight's shape."""
        self.means = follow(self.means, list(self.weights.values()))
        return self.means[list(self.weights).index(name)]

    def state(self) -> State:
        means = {f"mean/{n}": m for n, m in zip(self.weights, self.means, strict=True)}
        return means | {"steps": torch.tensor(self.steps)}

    def restore(self, state: State) -> None:
        self.means = [state[f"mean/{name}"].clone() for name in self.weights]
        self.steps = int(state["steps"])


def gradients(
    model: nn.Module, weights: Weights, calibration: CalibrationData, images: int, batch: int
) -> Iterator[list[Tensor]]:
    """The gradient of the loss of each batch with the weights, in eval mode; none is left behind.

    Raises:
        ConfigError: a layer that has no part in the loss.
    """
    device = next(iter(weights.values())).device
    sample, targets = (t.to(device) for t in calibration.sample(images))
    for x, y in zip(sample.split(batch), targets.split(batch), strict=True):
        with evaluating(model), torch.enable_grad(), asking(list(weights.values())):
            loss = calibration.loss(model(x), y)
            found = torch.autograd.grad(loss, list(weights.values()), allow_unused=True)
        unused = [name for name, g in zip(weights, found, strict=True) if g is None]
        if unused:
            allowed = f"patterns of all layers without part in the loss: {', '.join(unused)}"
            raise ConfigError("prune.exclude", unused, allowed)
        yield [g for g in found if g is not None]


@contextmanager
def asking(weights: list[nn.Parameter]) -> Iterator[None]:
    """Gradients also of weights that are frozen: they are not trained, and can be pruned."""
    frozen = [weight for weight in weights if not weight.requires_grad]
    try:
        for weight in frozen:
            weight.requires_grad_(True)
        yield
    finally:
        for weight in frozen:
            weight.requires_grad_(False)


def mean_of(batches: Iterable[list[Tensor]]) -> list[Tensor]:
    """The mean over batches, each weighing the same, of one tensor a layer."""
    totals: list[Tensor] = []
    number = 0
    for number, parts in enumerate(batches, 1):  # noqa: B007 - the last one is their number
        if totals:
            torch._foreach_add_(totals, parts)
        else:
            totals = [part.clone() for part in parts]
    return [total / number for total in totals]


def of_step(weights: Weights) -> list[Tensor]:
    """The gradients that the optimiser has just used; 0 where a layer took no part."""
    return [torch.zeros_like(w) if w.grad is None else w.grad for w in weights.values()]
