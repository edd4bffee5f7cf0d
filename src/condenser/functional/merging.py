"""Which neurons to merge, computed from their Gram matrix G_ij = ⟨v_i, v_j⟩.

v_j is a neuron's incoming weights and bias, or its activations. Matrices of pairs are indexed
[i, j]: neuron j is merged into i. Outgoing weights come as a Gram matrix too, B_ij = ⟨a_i, a_j⟩: a
neuron with error δ changes the next layer's input by ‖a_j‖²·δ.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

RIDGE = 1e-8  # relative to the mean energy: ridge, as duplicates make a matrix singular
SLACK = 1e-6  # relative to an energy: what rounding and the ridge leave of a distance of 0


class Pairs(NamedTuple):
    """(n, n) squared distance of neuron j to its substitute i, and the scale applied to i."""

    distance: Tensor
    scale: Tensor


def euclidean(gram: Tensor) -> Pairs:
    """‖v_i - v_j‖², unscaled: for any activation.

    Source: Srinivas, Babu, "Data-free parameter pruning for deep neural networks", 2015,
    https://arxiv.org/abs/1507.06149
    """
    energy = gram.diagonal()
    distance = energy[:, None] + energy[None, :] - 2 * gram
    return Pairs(distance.clamp(min=0), torch.ones_like(gram))


def directional(gram: Tensor) -> Pairs:
    """v_i scaled to the length of v_j: 2‖v_j‖²(1 - cos), for activations f(s·x) = s·f(x), s > 0.

    Where cos ≤ 0 there is no such scale: then it is 0, and v_j is dropped.

    Source: Kim, Kim, Park, Lee, "Neuron Merging: Compensating for Pruned Neurons", 2020,
    https://arxiv.org/abs/2010.15097
    """
    energy, cos = gram.diagonal(), cosine(gram)
    length = energy.sqrt()
    ratio = length[None, :] / length[:, None].clamp(min=torch.finfo(gram.dtype).tiny)
    return Pairs(energy[None, :] * 2 * (1 - cos), torch.where(cos > 0, ratio, 0.0))


def projected(gram: Tensor) -> Pairs:
    """The best multiple of v_i: ‖v_j‖²(1 - cos²) at s = ⟨v_i, v_j⟩/‖v_i‖², s ≥ 0."""
    energy, cos = gram.diagonal(), cosine(gram).clamp(min=0)
    scale = gram.clamp(min=0) / energy[:, None].clamp(min=torch.finfo(gram.dtype).tiny)
    return Pairs(energy[None, :] * (1 - cos**2), scale)


SIMILARITIES: dict[str, Callable[[Tensor], Pairs]] = {
    "l2": euclidean,
    "cosine": directional,
    "activation": projected,
}


def cosine(gram: Tensor) -> Tensor:
    """⟨v_i, v_j⟩/‖v_i‖‖v_j‖, 0 where one of them is 0."""
    length = gram.diagonal().sqrt().clamp(min=torch.finfo(gram.dtype).tiny ** 0.5)
    return (gram / length[:, None] / length[None, :]).clamp(-1, 1)


def rectified(gram: Tensor, slope: float = 0.0) -> Tensor:
    """E[f(⟨v_i, x⟩)·f(⟨v_j, x⟩)] over x ~ N(0, 1): a Gram matrix of activations without data.

    f(z) = max(z, slope·z); slope 0 is ReLU, 1 is no activation. With θ the angle of v_i and v_j,
    slope·G_ij + (1 - slope)²·‖v_i‖‖v_j‖(sin θ + (π - θ)·cos θ)/2π.

    Source: Cho, Saul, "Kernel Methods for Deep Learning", 2009,
    https://papers.nips.cc/paper/3628-kernel-methods-for-deep-learning
    """
    cos, length = cosine(gram), gram.diagonal().sqrt()
    angle = torch.acos(cos)
    arc = length[:, None] * length[None, :] * (angle.sin() + (math.pi - angle) * cos)
    return slope * gram + (1 - slope) ** 2 * arc / (2 * math.pi)


def join(
    pairs: Pairs, energy: Tensor, outgoing: Tensor, count: int, limit: float = math.inf
) -> list[int]:
    """Neurons to remove by greedy merging, cheapest pair first: min_ij of distance_ij · ‖a_j‖².

    The surviving neuron takes over the outgoing weights, a_i += s·a_j, which raises its own cost.

    Args:
        energy: (n,) ‖v_j‖².
        outgoing: (n, n) B.
        count: how many at most, less than n.
        limit: skip pairs with distance_ij > limit·‖v_j‖²; a neuron others were merged into stays.
    """
    far = pairs.distance > (limit + SLACK) * energy[None, :]
    distance = pairs.distance.masked_fill(far, torch.inf).fill_diagonal_(torch.inf)
    outgoing, removed = outgoing.clone(), []
    least, partner = distance.min(dim=0)
    for _ in range(count):
        cost = torch.where(least.isinf(), torch.inf, least * outgoing.diagonal())
        j = int(cost.argmin())
        if cost[j].isinf():
            break
        i = int(partner[j])
        _add_row(outgoing, i, j, pairs.scale[i, j])
        distance[j, :] = distance[:, j] = least[j] = torch.inf
        if limit < math.inf:
            distance[:, i] = least[i] = torch.inf
        orphans = (partner == j) & least.isfinite()
        least[orphans], partner[orphans] = distance[:, orphans].min(dim=0)
        removed.append(j)
    return removed


def _add_row(gram: Tensor, i: int, j: int, scale: Tensor) -> None:
    """Make a_i, in place, a_i + scale·a_j."""
    gram[i, :] += scale * gram[j, :]
    gram[:, i] += scale * gram[:, j]


def eliminate(gram: Tensor, outgoing: Tensor, count: int, limit: float = math.inf) -> list[int]:
    """Neurons to remove, cheapest first, when all remaining neurons jointly replace a removed one.

    The residual of v_j against the span of the others is 1/(G⁻¹)_jj; its cost is that times ‖a_j‖².
    G⁻¹ of the remaining neurons and their outgoing weights follow by a rank-1 update.

    Args:
        limit: skip neurons whose residual exceeds limit·‖v_j‖².

    Source: the step is that of Hassibi, Stork, "Second order derivatives for network pruning:
    Optimal Brain Surgeon", 1993,
    https://proceedings.neurips.cc/paper/1992/hash/303ed4c69846ab36c2904d3ba8573050-Abstract.html
    """
    inverse, outgoing = torch.linalg.inv(_ridged(gram)), outgoing.clone()
    alive = torch.ones(len(gram), dtype=torch.bool)
    allowed = limit * gram.diagonal() + SLACK * gram.diagonal().mean()
    removed: list[int] = []
    for _ in range(count):
        lack = 1 / inverse.diagonal().clamp(min=torch.finfo(gram.dtype).tiny)
        barred = ~alive | (lack > allowed)
        cost = torch.where(barred, torch.inf, lack * outgoing.diagonal())
        j = int(cost.argmin())
        if cost[j].isinf():
            break
        share = (-inverse[:, j] / inverse[j, j]).masked_fill(~alive, 0)
        share[j] = 0
        given = torch.outer(share, outgoing[j])
        outgoing += given + given.T + outgoing[j, j] * torch.outer(share, share)
        inverse -= torch.outer(inverse[:, j], inverse[:, j]) / inverse[j, j]
        alive[j] = False
        removed.append(j)
    return removed


def one_to_one(pairs: Pairs, fit: Tensor, kept: Tensor, removed: Tensor) -> Tensor:
    """(kept, removed) fold: each removed neuron's nearest kept one, times its scale in ``fit``."""
    nearest = pairs.distance[kept][:, removed].argmin(dim=0)
    fold = torch.zeros(len(kept), len(removed), dtype=fit.dtype)
    places = torch.arange(len(removed))
    fold[nearest, places] = fit[kept][:, removed][nearest, places]
    return fold


def one_to_many(gram: Tensor, kept: Tensor, removed: Tensor) -> Tensor:
    """(kept, removed) fold: argmin ‖v_j - Σ_i f_ij v_i‖² over all combinations of the kept."""
    ridged = _ridged(gram)
    return torch.linalg.solve(ridged[kept][:, kept], gram[kept][:, removed])


def _ridge(gram: Tensor) -> Tensor:
    return RIDGE * gram.diagonal().mean().clamp(min=torch.finfo(gram.dtype).tiny)


def _ridged(gram: Tensor) -> Tensor:
    return gram + _ridge(gram) * torch.eye(len(gram), dtype=gram.dtype)
