"""Proximal steps: the exact minimiser of ½‖x - w‖² + penalty(x), in place."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def soft_threshold(tensors: Sequence[Tensor], amount: float) -> None:
    """w ← sign(w)·max(|w| - τ, 0): the step of τ·‖x‖₁, for all tensors at once.

    Source: Daubechies, Defrise, De Mol, "An iterative thresholding algorithm for linear inverse
    problems with a sparsity constraint", 2004, https://arxiv.org/abs/math/0307152
    """
    within = torch._foreach_clamp_min(list(tensors), -amount)
    torch._foreach_clamp_max_(within, amount)
    torch._foreach_sub_(list(tensors), within)


def group_soft_threshold(weight: Tensor, amount: float) -> None:
    """w_g ← w_g·max(1 - τ·√n / ‖w_g‖₂, 0): the step of τ·Σ_g √n·‖x_g‖₂, over groups g of n weights.

    Args:
        weight: a group is what one index of dimension 0 holds.

    Source: Yuan, Lin, "Model selection and estimation in regression with grouped variables", 2006,
    https://doi.org/10.1111/j.1467-9868.2005.00532.x
    """
    rows = weight.flatten(1)
    norm = torch.linalg.vector_norm(rows, dim=1).clamp_min(torch.finfo(weight.dtype).tiny)
    factor = (1 - amount * rows.shape[1] ** 0.5 / norm).clamp_min(0)
    weight.mul_(factor.view(-1, *[1] * (weight.ndim - 1)))
