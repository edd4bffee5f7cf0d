"""Pruning masks from one score per weight or per group of weights.

Scores of a layer have its weight's shape, or 1 where a group spans a whole dimension: in
(out, 1, 1, 1) there is one per output channel. A scope makes masks of the scores' shapes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

Shapes = Mapping[str, torch.Size]
Scope = Callable[[dict[str, Tensor], float, Shapes], dict[str, Tensor]]


def keep_largest(scores: Tensor, rate: float, sizes: Tensor | None = None) -> Tensor:
    """A mask that drops exactly the round(rate · n) lowest of n scores; ties broken by position.

    Args:
        scores: any shape; higher is more important.
        rate: fraction to drop, in [0, 1].
        sizes: how many weights each score stands for, flat, where they differ: then the lowest are
            dropped whose weights together come nearest to rate · Σ sizes.

    Returns:
        bool mask of the scores' shape, True where kept.
    """
    order = torch.argsort(scores.flatten(), stable=True)
    if sizes is None:
        drop = round(rate * scores.numel())
    else:
        middle = sizes[order].cumsum(0) - sizes[order] / 2  # past it, leaving the group is nearer
        drop = int((middle < rate * float(sizes.sum())).sum())
    mask = torch.ones(scores.numel(), dtype=torch.bool, device=scores.device)
    mask[order[:drop]] = False
    return mask.view(scores.shape)


def global_threshold(
    scores: dict[str, Tensor], rate: float, shapes: Shapes | None = None
) -> dict[str, Tensor]:
    """Masks from one threshold over all layers: layers with low scores lose more.

    ``rate`` counts weights: with groups of different ``shapes`` it is met to half a group.
    """
    flat = torch.cat([s.flatten() for s in scores.values()])
    mask = keep_largest(flat, rate, _sizes(scores, shapes or {}))
    parts = mask.split([s.numel() for s in scores.values()])
    return {name: m.view(s.shape) for (name, s), m in zip(scores.items(), parts, strict=True)}


def rounding(scope: Callable[..., Any], groups: Mapping[str, tuple[float, int]]) -> float:
    """By how many weights masks may miss the rate: half a group wherever the scope rounds.

    Args:
        scope: global_threshold rounds once, the others in each layer, keep_per_output and those
            that are not from here in each output.
        groups: layer → weights of a group, and outputs.
    """
    kind = getattr(scope, "func", scope)
    if kind is global_threshold:
        return max(size for size, _ in groups.values()) / 2
    by_layer = kind in (layerwise_threshold, keep_erdos_renyi)
    return sum(size * (1 if by_layer else outputs) / 2 for size, outputs in groups.values())


def _sizes(scores: dict[str, Tensor], shapes: Shapes) -> Tensor | None:
    """Weights per score, flat over all layers; None if it is the same everywhere."""
    whole = {name: shapes.get(name, s.shape).numel() // s.numel() for name, s in scores.items()}
    if len(set(whole.values())) == 1:
        return None
    parts = [torch.full((s.numel(),), whole[n], device=s.device) for n, s in scores.items()]
    return torch.cat(parts).double()


def layerwise_threshold(
    scores: dict[str, Tensor], rate: float, shapes: Shapes | None = None
) -> dict[str, Tensor]:
    """Masks with the same rate in every layer."""
    return {name: keep_largest(s, rate) for name, s in scores.items()}


def keep_per_output(
    scores: dict[str, Tensor], rate: float, shapes: Shapes | None = None
) -> dict[str, Tensor]:
    """Masks with the same rate in every output unit or channel of every layer: dimension 0.

    Source: Sun, Liu, Bair, Kolter, "A Simple and Effective Pruning Approach for Large Language
    Models", 2023, https://arxiv.org/abs/2306.11695
    """
    rows = {name: [keep_largest(row, rate) for row in s] for name, s in scores.items()}
    return {name: torch.stack(masks) for name, masks in rows.items()}


def keep_erdos_renyi(
    scores: dict[str, Tensor], rate: float, shapes: Shapes | None = None
) -> dict[str, Tensor]:
    """Masks with Erdős-Rényi-kernel densities: small layers lose less.

    density ∝ Σ dims / Π dims of the weight (for a convolution (in + out + h + w) / (in·out·h·w)),
    scaled so that ``rate`` of all weights goes; a layer that this would more than fill stays whole.

    Source: Evci, Gale, Menick, Castro, Elsen, "Rigging the Lottery", 2020,
    https://arxiv.org/abs/1911.11134
    """
    densities = erdos_renyi({n: (shapes or {}).get(n, s.shape) for n, s in scores.items()}, rate)
    return {name: keep_largest(s, 1 - densities[name]) for name, s in scores.items()}


def erdos_renyi(shapes: Shapes, rate: float) -> dict[str, float]:
    """Density of each layer under ``keep_erdos_renyi``."""
    whole: set[str] = set()
    budget = (1 - rate) * sum(shape.numel() for shape in shapes.values())
    while True:
        left = budget - sum(shapes[name].numel() for name in whole)
        scale = left / max(sum(sum(s) for n, s in shapes.items() if n not in whole), 1)
        densities = {
            n: 1.0 if n in whole else scale * sum(s) / s.numel() for n, s in shapes.items()
        }
        fullest = max(densities, key=lambda name: densities[name])
        if densities[fullest] <= 1:
            return densities
        whole.add(fullest)


def protect_largest(scores: Tensor, n: int, m: int) -> Tensor:
    """The scores with the n largest of every m neighbours along the last dimension raised to ∞."""
    blocks = scores.reshape(-1, m).clone()
    blocks.scatter_(1, torch.argsort(blocks, dim=1, stable=True)[:, m - n :], torch.inf)
    return blocks.view(scores.shape)


def swap(mask: Tensor, scores: Tensor, growth: Tensor, count: int) -> Tensor:
    """Drop the mask's ``count`` lowest scores, then grow as many where ``growth`` is largest among
    the masked entries: one just dropped may come back.

    Args:
        mask: bool, True where kept; scores and growth have its shape, growth is -∞ where nothing
            may grow, and finite where the mask is True.

    Source: Evci, Gale, Menick, Castro, Elsen, "Rigging the Lottery", 2020,
    https://arxiv.org/abs/1911.11134
    """
    low = scores.masked_fill(~mask, torch.inf).flatten().argsort(stable=True)[:count]
    swapped = mask.flatten().clone()
    swapped[low] = False
    free = growth.flatten().masked_fill(swapped, -torch.inf)
    swapped[free.argsort(descending=True, stable=True)[:count]] = True
    return swapped.view(mask.shape)


def pack_bits(mask: Tensor) -> Tensor:
    """A bool mask of n entries as ⌈n/8⌉ bytes, the first entry in the lowest bit."""
    bits = torch.nn.functional.pad(mask.flatten().to(torch.uint8), (0, -mask.numel() % 8))
    return (bits.view(-1, 8) << _shifts(mask)).sum(dim=1, dtype=torch.uint8)


def unpack_bits(packed: Tensor, count: int) -> Tensor:
    """The first ``count`` entries of what ``pack_bits`` packed, flat."""
    return ((packed.unsqueeze(1) >> _shifts(packed)) & 1).flatten()[:count].bool()


def _shifts(like: Tensor) -> Tensor:
    return torch.arange(8, dtype=torch.uint8, device=like.device)
