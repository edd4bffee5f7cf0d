"""Losses between feature maps (batch, channels, height, width); each paper's own reduction.

Student and teacher have the same height and width (see ``features.same_size``).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from condenser.functional.features import pooled, same_size, unit


def attention(feature: Tensor) -> Tensor:
    """Q/‖Q‖ with Q = Σ_c F_c² at each place: (batch, channels, height, width) → (batch, places)."""
    return unit(feature.square().sum(dim=1).flatten(1), dim=1)


def attention_paper(student: Tensor, teacher: Tensor) -> Tensor:
    """½ · mean over the batch of ‖attention(student) - attention(teacher)‖₂."""
    gap = attention(student) - attention(teacher)
    return torch.linalg.vector_norm(gap, dim=1).mean() / 2


def attention_mean(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean over the batch and places of (attention(student) - attention(teacher))²."""
    return F.mse_loss(attention(student), attention(teacher))


def selectivity(student: Tensor, teacher: Tensor) -> Tensor:
    """MMD² of the channels' activation patterns, with kernel k(x, y) = (x·y / ‖x‖‖y‖)².

    mean k(s, s) + mean k(t, t) - 2·mean k(s, t) over pairs of channels, mean over the batch.
    """
    s, t = student.flatten(2), teacher.flatten(2)
    grams = [a @ b.transpose(1, 2) for a, b in ((s, s), (t, t), (s, t))]
    # The norms are on the diagonals; normalising Gram matrices is cheaper than normalising maps.
    u, v = (inverse_norms(gram) for gram in grams[:2])
    scales = [u * u.mT, v * v.mT, u * v.mT]
    own, given, both = [(g * scale).square().mean() for g, scale in zip(grams, scales, strict=True)]
    return own + given - 2 * both


def inverse_norms(gram: Tensor) -> Tensor:
    """1/√G_ii, or 0 where √G_ii is below 1e-12: (batch, channels, 1)."""
    squares = gram.diagonal(dim1=1, dim2=2)[:, :, None]
    alive = squares > 1e-24
    return alive / torch.where(alive, squares, 1.0).sqrt()


def flow(first: Tensor, last: Tensor) -> Tensor:
    """G_ij = mean over places of first_i · last_j: (batch, channels of first, channels of last)."""
    first, last = (feature.flatten(2) for feature in same_size(first, last))
    return first @ last.transpose(1, 2) / first.shape[2]


def boundary(student: Tensor, teacher: Tensor, margin: float) -> Tensor:
    """Σ (s + m)² where the teacher is off and s > -m, (s - m)² where it is on and s ≤ m; / batch.

    On means above 0: both maps are pre-activation.
    """
    side = torch.where(teacher > 0, 1.0, -1.0)
    return F.relu(margin - side * student).square().sum() / len(student)


def gaussian(mean: Tensor, target: Tensor, variance: Tensor) -> Tensor:
    """-log N(target; mean, variance) without its constant: mean ½((target - mean)²/σ² + log σ²).

    Args:
        mean, target: (batch, channels, height, width).
        variance: σ², (channels,).
    """
    gaps = (target - mean).square().mean(dim=(0, 2, 3))  # few enough to divide by σ²
    return (gaps / variance + variance.log()).mean() / 2


def factor_gap(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean |f_s/‖f_s‖ - f_t/‖f_t‖| over batch, channels and places; ‖·‖ of a sample's whole map."""
    own, given = (unit(f.flatten(1), dim=1) for f in same_size(student, teacher))
    return F.l1_loss(own, given)


def pyramid(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean squared error of the maps, and of the maps pooled to 4×4, 2×2 and 1×1.

    Weights 1, ½, ¼, ⅛ over their sum; sizes that are not below the map's own are left out.
    """
    gap = finest = student - teacher
    height, width = gap.shape[2:]
    gaps = [gap]
    for size in (4, 2, 1):
        if size < min(height, width):
            gaps.append(pooled(finest, (size, size)))
            if height % size == width % size == 0:  # its cells can be pooled in their turn
                finest = gaps[-1]
    weights = [2.0**-level for level in range(len(gaps))]
    losses = [w * g.square().mean() for w, g in zip(weights, gaps, strict=True)]
    return torch.stack(losses).sum() / sum(weights)


def moments(feature: Tensor, eps: float = 1e-5) -> tuple[Tensor, Tensor]:
    """Mean and √(var + ε) of each channel over its places: (batch, channels) both."""
    places = feature.flatten(2)
    variance = places.var(dim=2, correction=int(places.shape[2] > 1))
    return places.mean(dim=2), (variance + eps).sqrt()
