"""Least squares for a layer that exists already: the nearest change that mends its outputs."""

from __future__ import annotations

import torch
from torch import Tensor

STEPS, NEAR = 200, 1e-10  # of conjugate gradients: at most, and the residual that ends them


def change(gram: Tensor, cross: Tensor, ridge: Tensor, free: Tensor | None = None) -> Tensor:
    """argmin over D of Σ ‖D x - e‖² + Σ_j ridge_j ‖D_j‖², D = 0 where not ``free``.

    D = cross (gram + diag(ridge))⁻¹ where all is free; else conjugate gradients on the free
    entries, of all rows at once.

    Args:
        gram: Σ x xᵀ of the inputs, (…, n, n), float64.
        cross: Σ e xᵀ of what the outputs lack, (…, m, n).
        ridge: (n,), above 0.
        free: (…, m, n) bool; None: all.

    Returns:
        (…, m, n).
    """
    system = gram + torch.diag_embed(ridge)
    if free is None or bool(free.all()):
        return torch.linalg.solve(system, cross.mT).mT
    mask = free.to(gram)
    scale = mask / system.diagonal(dim1=-2, dim2=-1).unsqueeze(-2)  # Jacobi's preconditioner
    found, residual = torch.zeros_like(cross), cross * mask
    way = residual * scale
    slope = (residual * way).sum(-1, keepdim=True)
    first = slope.sum()
    for _ in range(STEPS):
        if slope.sum() <= NEAR * first:
            break
        along = (way @ system) * mask
        curve = (way * along).sum(-1, keepdim=True)
        step = torch.where(curve > 0, slope / curve.clamp(min=1e-300), 0.0)
        found, residual = found + step * way, residual - step * along
        ahead = residual * scale
        fresh = (residual * ahead).sum(-1, keepdim=True)
        way = ahead + torch.where(slope > 0, fresh / slope.clamp(min=1e-300), 0.0) * way
        slope = fresh
    return found
