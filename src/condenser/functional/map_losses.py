"""Distances between feature maps (batch, channels, height, width); each paper's own reduction.

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
    s, t = (unit(feature.flatten(2), dim=2) for feature in (student, teacher))

    def kernel(a: Tensor, b: Tensor) -> Tensor:
        return (a @ b.transpose(1, 2)).square().mean()

    return kernel(s, s) + kernel(t, t) - 2 * kernel(s, t)


def flow(first: Tensor, last: Tensor) -> Tensor:
    """G_ij = mean over places of first_i · last_j: (batch, channels of first, channels of last)."""
    first, last = (feature.flatten(2) for feature in same_size(first, last))
    return first @ last.transpose(1, 2) / first.shape[2]


def boundary(student: Tensor, teacher: Tensor, margin: float) -> Tensor:
    """Σ (s + m)² where the teacher is off and s > -m, (s - m)² where it is on and s ≤ m; / batch.

    On is above 0: both are taken before their activation.
    """
    on = teacher > 0
    gap = torch.where(on, F.relu(margin - student), F.relu(student + margin))
    return gap.square().sum() / len(student)


def gaussian(mean: Tensor, target: Tensor, variance: Tensor) -> Tensor:
    """-log N(target; mean, variance) without its constant: mean ½((target - mean)²/σ² + log σ²).

    Args:
        mean, target: (batch, channels, height, width).
        variance: σ², (channels,).
    """
    variance = variance[:, None, None]
    return ((target - mean).square() / variance + variance.log()).mean() / 2


def pyramid(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean squared error of the maps, and of the maps pooled to 4×4, 2×2 and 1×1.

    Weights 1, ½, ¼, ⅛ over their sum; sizes that are not below the map's own are left out.
    """
    gap, side = student - teacher, min(student.shape[2:])
    gaps = [gap] + [pooled(gap, (size, size)) for size in (4, 2, 1) if size < side]
    weights = [2.0**-level for level in range(len(gaps))]
    losses = [w * g.square().mean() for w, g in zip(weights, gaps, strict=True)]
    return torch.stack(losses).sum() / sum(weights)
