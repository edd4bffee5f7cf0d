"""A running mean of weights, and layers that stay as they are."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from condenser.compress.patterns import matches, refuse_unmatched


class Averaged:
    """m ← d·m + (1-d)·w after each step, d = min(decay, (1 + n)/(10 + n)) in step n, so that the
    first weights are soon forgotten; buffers are the network's own.

    Source: Polyak, Juditsky, "Acceleration of stochastic approximation by averaging", 1992,
    https://doi.org/10.1137/0330046
    """

    def __init__(self, decay: float) -> None:
        self.decay, self.steps = decay, 0
        self.mean: list[Tensor] = []

    def begin(self, model: nn.Module) -> None:
        """Start from the network's weights, or go on with those of a checkpoint."""
        own = list(model.parameters())
        held = self.mean or own
        pairs = zip(held, own, strict=True)
        self.mean = [mean.detach().clone().to(weight.device) for mean, weight in pairs]

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        self.steps += 1
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        for mean, weight in zip(self.mean, model.parameters(), strict=True):
            mean.lerp_(weight, 1 - decay)

    @torch.no_grad()
    def swap(self, model: nn.Module) -> None:
        """Exchange the network's weights with their mean; again, back."""
        for mean, weight in zip(self.mean, model.parameters(), strict=True):
            kept = weight.clone()
            weight.copy_(mean)
            mean.copy_(kept)


def frozen(model: nn.Module, patterns: Sequence[str]) -> list[nn.Module]:
    """The layers that the patterns name, their weights without gradients.

    Raises:
        ConfigError: a pattern that no layer has.
    """
    names = [name for name, _ in model.named_modules() if name]
    refuse_unmatched("optim.frozen", patterns, names)
    found = [layer for name, layer in model.named_modules() if name and matches(name, patterns)]
    for layer in found:
        layer.requires_grad_(False)
    return found
