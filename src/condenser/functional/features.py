"""Bring features of different shapes to a common one."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor


def as_map(feature: Tensor) -> Tensor:
    """(batch, channels) as a map of 1×1; maps (batch, channels, height, width) stay.

    Raises:
        ValueError: any other shape.
    """
    if feature.dim() not in (2, 4):
        raise ValueError(f"feature of shape {tuple(feature.shape)}: must have 2 or 4 dimensions")
    return feature if feature.dim() == 4 else feature[:, :, None, None]


def tokens_as_map(tokens: Tensor) -> Tensor:
    """The patches of a square image as a map (batch, channels, side, side).

    Args:
        tokens: (batch, side², channels), or (batch, 1 + side², channels), whose first one, the
            class token, goes.

    Raises:
        ValueError: any other number of tokens.
    """
    side = math.isqrt(tokens.shape[1])
    extra = tokens.shape[1] - side**2
    if extra > 1:
        raise ValueError(f"tokens of shape {tuple(tokens.shape)}: must have side² or 1 + side²")
    return tokens[:, extra:].mT.unflatten(2, (side, side))


def same_size(student: Tensor, teacher: Tensor) -> tuple[Tensor, Tensor]:
    """Average-pool both maps to the smaller height and width of the two.

    Args:
        student: (batch, channels, height, width), or (batch, channels).
        teacher: the same, with sizes of its own.
    """
    student, teacher = as_map(student), as_map(teacher)
    size = (min(student.shape[2], teacher.shape[2]), min(student.shape[3], teacher.shape[3]))
    return pooled(student, size), pooled(teacher, size)


def pooled(feature: Tensor, size: tuple[int, int]) -> Tensor:
    """A map averaged down to ``size`` (height, width)."""
    height, width = feature.shape[2:]
    if (height, width) == size:
        return feature
    if height % size[0] or width % size[1]:
        return F.adaptive_avg_pool2d(feature, size)
    # The same, with a gradient that is deterministic on a GPU too.
    return F.avg_pool2d(feature, (height // size[0], width // size[1]))


def unit(x: Tensor, dim: int) -> Tensor:
    """x / ‖x‖ along ``dim``; 0, with gradient 0, where ‖x‖ is below 1e-12.

    ``F.normalize`` has a gradient of 1e12 there, which a dead unit would pass on.
    """
    norm = torch.linalg.vector_norm(x, dim=dim, keepdim=True)
    alive = norm > 1e-12
    return x * (alive / torch.where(alive, norm, 1.0))


def batch_normalize(x: Tensor, eps: float = 1e-4) -> Tensor:
    """(x - mean) / √(var + eps) over the batch: batch normalisation without parameters or memory.

    Args:
        x: (batch, features).
    """
    variance, mean = torch.var_mean(x, dim=0, correction=0)
    return (x - mean) / torch.sqrt(variance + eps)
