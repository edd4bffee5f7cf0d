"""Noise of sensors and of transmission. Images are float32 (N, C, H, W) in [0, 1]."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

TAIL = 8  # deviations beyond which a Poisson count is not looked for


def normal(uniform: Tensor) -> Tensor:
    """Standard normal numbers from uniform ones of 24 bits."""
    return torch.special.ndtri(uniform.double() + 2.0**-25).float()


def gaussian(x: Tensor, draw: Callable[[int, int], Tensor], std: float, unit: float) -> Tensor:
    """x + N(0, std²)."""
    return x + std * normal(draw(0, x[0].numel())).view_as(x)


def shot(x: Tensor, draw: Callable[[int, int], Tensor], photons: float, unit: float) -> Tensor:
    """Poisson(photons · x) / photons."""
    uniform, order = draw(0, x[0].numel()).flatten().double(), x.flatten().argsort()
    found = torch.empty_like(x).flatten()
    values, counted = x.unique(return_counts=True)
    for value, here in zip(values.tolist(), order.split(counted.tolist()), strict=True):
        rate = photons * value
        counts = torch.arange(math.ceil(rate + TAIL * math.sqrt(rate) + TAIL), dtype=torch.float64)
        below = torch.special.gammaincc(counts + 1, torch.full_like(counts, rate))  # P(X <= count)
        found[here] = (torch.searchsorted(below, uniform[here], right=True) / photons).float()
    return found.view_as(x)


def impulse(x: Tensor, draw: Callable[[int, int], Tensor], amount: float, unit: float) -> Tensor:
    """Each value with probability ``amount`` black or white, either equally likely."""
    uniform = draw(0, x[0].numel()).view_as(x)
    return torch.where(uniform < amount, (uniform < amount / 2).float(), x)
