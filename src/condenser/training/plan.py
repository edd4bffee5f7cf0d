"""How long and with what a network is trained."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from condenser.functional.schedules import constant


@dataclass(frozen=True)
class Plan:
    """Epochs, optimiser and schedule of a training.

    Attributes:
        optimizer: parameters, lr → optimiser.
        schedule: progress in [0, 1] → factor on the learning rate.
        warmup: part of the training in which the factor is scaled linearly from 0 to 1.
        decay_norms: whether norms and biases, of at most one dimension, have weight decay too.
        ema: decay of a running mean of the weights, which is validated and kept; 0: none.
        patience: epochs without a better validation after which training stops; 0: never.
        frozen: patterns of layers that stay as they are, in eval mode.
        clip: the largest norm of the gradient.
        accumulate: batches whose gradients make one step of the optimiser.
    """

    optimizer: Callable[..., torch.optim.Optimizer]
    lr: float
    epochs: int
    batch_size: int
    schedule: Callable[[float], float] = constant
    warmup: float = 0
    decay_norms: bool = True
    ema: float = 0
    patience: int = 0
    frozen: Sequence[str] = ()
    clip: float | None = None
    accumulate: int = 1

    def rate(self, done: float) -> float:
        """The learning rate at this progress in [0, 1]."""
        return self.lr * self.schedule(done) * (min(1, done / self.warmup) if self.warmup else 1)

    def groups(self, parameters: Sequence[nn.Parameter]) -> Sequence[Any]:
        """The parameters as an optimiser takes them."""
        if self.decay_norms:
            return parameters
        small = [p for p in parameters if p.ndim <= 1]
        rest = [p for p in parameters if p.ndim > 1]
        return [{"params": rest}, {"params": small, "weight_decay": 0.0}]
