"""Stratified splits by class or by combination of labels."""

from __future__ import annotations

import torch
from torch import Tensor

from condenser.data.counter_rng import key


def stratified_order(targets: Tensor, seed: int) -> Tensor:
    """A seeded order of the samples of which every prefix is stratified.

    Sample r (0, 1, …) of a class of n, in random order, gets the place (r + ½) / n; places are
    sorted, ties at random. Prefixes are nested: the first 100 are among the first 1,000.

    Args:
        targets: int64 (N,); or (N, labels), of which each different row counts as a class.

    Returns:
        int64 (N,), a permutation.
    """
    targets = strata(targets.cpu())
    shuffled = torch.randperm(len(targets), generator=torch.Generator().manual_seed(key(seed)))
    by_class = shuffled[targets[shuffled].argsort(stable=True)]
    count = targets.bincount()
    first = count.cumsum(0) - count
    rank = torch.empty_like(targets)
    rank[by_class] = torch.arange(len(targets)) - first[targets[by_class]]
    place = (rank.double() + 0.5) / count[targets]
    return shuffled[place[shuffled].argsort(stable=True)]


def strata(targets: Tensor) -> Tensor:
    """Stratum of each sample: int64 (N,)."""
    return targets if targets.ndim == 1 else targets.unique(dim=0, return_inverse=True)[1]


def cut(targets: Tensor, fraction: float, seed: int) -> tuple[Tensor, Tensor]:
    """Indices (kept, held out), ascending; `fraction` is held out, at least one if not 0."""
    size = max(1, round(fraction * len(targets))) if fraction > 0 else 0
    order = stratified_order(targets, seed)
    return order[size:].sort().values, order[:size].sort().values


def take(targets: Tensor, count: int, seed: int) -> Tensor:
    """Indices of `count` stratified samples, ascending."""
    return stratified_order(targets, seed)[:count].sort().values
