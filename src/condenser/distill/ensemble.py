"""An ensemble of teachers."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from condenser.data import DataModule
from condenser.measure import predict
from condenser.tasks import Task


class Ensemble(nn.Module):
    """z = Σ w_k·z_k over the teachers' logits: up to a constant the log of their geometric mean.

    Args:
        weights: w_k, one per teacher; None: one teacher per batch, chosen uniformly at random with
            torch's generator.

    Source: Hinton, Vinyals, Dean, "Distilling the Knowledge in a Neural Network", 2015, section 2,
    https://arxiv.org/abs/1503.02531; one at random: Fukuda et al., "Efficient Knowledge
    Distillation from an Ensemble of Teachers", Interspeech 2017.
    """

    def __init__(self, teachers: Sequence[nn.Module], weights: Sequence[float] | None) -> None:
        super().__init__()
        self.teachers, self.weights = nn.ModuleList(teachers), weights
        self.stochastic = weights is None  # so that its outputs are not cached

    def forward(self, image: Tensor) -> Tensor:
        if self.weights is None:
            return self.teachers[int(torch.randint(len(self.teachers), ()))](image)
        logits = [
            w * teacher(image) for w, teacher in zip(self.weights, self.teachers, strict=True)
        ]
        return torch.stack(logits).sum(0)


def ensemble(
    teachers: Sequence[nn.Module], how: str | Sequence[float], data: DataModule
) -> Ensemble:
    """Combine the teachers by ``how``: mean, random, learned on validation, or given weights."""
    if how == "random":
        return Ensemble(teachers, None)
    if how == "learned":
        seen = [predict(teacher, data.val_dataloader(), data.task) for teacher in teachers]
        logits, target = torch.stack([s.logits for s in seen]), seen[0].targets
        return Ensemble(teachers, learned_weights(logits, target, data.task))
    weights = [1.0] * len(teachers) if how == "mean" else [float(w) for w in how]
    return Ensemble(teachers, [w / sum(weights) for w in weights])


def learned_weights(logits: Tensor, target: Tensor, task: Task) -> list[float]:
    """w = softmax(v) with the v that minimises the hard loss of Σ w_k·z_k.

    Args:
        logits: (teachers, samples, outputs), of held-out samples.
        target: (samples, …) as the task has them.

    The weights sum to 1, so that the temperature keeps its meaning.
    """
    logits, v = logits.double(), torch.zeros(len(logits), dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([v], max_iter=200, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        value = task.hard_loss(torch.einsum("k,k...->...", v.softmax(0), logits), target)
        value.backward()
        return value

    optimizer.step(loss)
    return [float(w) for w in v.detach().softmax(0)]
