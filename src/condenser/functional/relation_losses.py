"""Relational losses: how samples of a batch relate in two networks. Features are (batch, …)."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from condenser.functional.features import unit


def similarity(student: Tensor, teacher: Tensor) -> Tensor:
    """‖G_s - G_t‖²_F / batch² with G = F·Fᵀ, each row divided by its norm."""
    g_s, g_t = (unit(f.flatten(1) @ f.flatten(1).T, dim=1) for f in (student, teacher))
    return F.mse_loss(g_s, g_t)


def relative_distances(feature: Tensor) -> Tensor:
    """‖x_i - x_j‖ over the mean of those that are not 0: (batch, batch)."""
    flat = feature.flatten(1)
    # The usual |x|² + |y|² - 2xy cancels catastrophically for near samples.
    distance = torch.cdist(flat, flat, compute_mode="donot_use_mm_for_euclid_dist")
    mean = distance.sum() / (distance > 0).sum().clamp(min=1)
    return distance / mean.clamp(min=1e-12)


def angles(feature: Tensor) -> Tensor:
    """cos of the angle at x_i between x_j and x_k: (batch, batch, batch)."""
    flat = feature.flatten(1)
    edges = unit(flat[None, :] - flat[:, None], dim=2)
    return edges @ edges.transpose(1, 2)


def distance_relation(student: Tensor, teacher: Tensor) -> Tensor:
    """Huber loss (δ = 1) between the relative distances of all pairs, mean over batch²."""
    return F.smooth_l1_loss(relative_distances(student), relative_distances(teacher))


def angle_relation(student: Tensor, teacher: Tensor) -> Tensor:
    """Huber loss (δ = 1) between the angles of all triplets, mean over batch³."""
    return F.smooth_l1_loss(angles(student), angles(teacher))


def neighbours(feature: Tensor) -> Tensor:
    """p_ij = c_ij / Σ_j c_ij with c = (cos(x_i, x_j) + 1)/2: (batch, batch)."""
    directions = unit(feature.flatten(1), dim=1)
    closeness = ((directions @ directions.T + 1) / 2).clamp(min=0)
    return closeness / closeness.sum(dim=1, keepdim=True).clamp(min=1e-12)


def neighbourhood(student: Tensor, teacher: Tensor, eps: float = 1e-7) -> Tensor:
    """Mean over batch² of p_t·log((p_t + ε)/(p_s + ε)), p as in ``neighbours``."""
    p_s, p_t = neighbours(student), neighbours(teacher)
    return (p_t * ((p_t + eps).log() - (p_s + eps).log())).mean()


def kernel_relation(feature: Tensor, gamma: float, order: int) -> Tensor:
    """Series of exp(-γ‖x_i - x_j‖²) for unit vectors: Σ_p e^(-2γ)·(2γ)^p/p!·(x_i·x_j)^p."""
    directions = unit(feature.flatten(1), dim=1)
    cosines = directions @ directions.T
    powers = range(order + 1)
    scales = [math.exp(-2 * gamma) * (2 * gamma) ** p / math.factorial(p) for p in powers]
    return torch.stack([scale * cosines**p for p, scale in zip(powers, scales, strict=True)]).sum(0)


def contrast(student: Tensor, teacher: Tensor, target: Tensor, temperature: float) -> Tensor:
    """Symmetric InfoNCE: match each student embedding to its teacher's within the batch.

    -mean log(e^(s_i·t_i/τ) / Σ_j e^(s_i·t_j/τ)) and the same with s and t exchanged, summed. j runs
    over i itself and samples of other classes; where there are labels, of other sets of labels.

    Args:
        student, teacher: (batch, dimensions), of length 1.
        target: (batch,) class indices, or (batch, labels).
    """
    own = torch.arange(len(target), device=target.device)
    rows = target.flatten(1) if target.dim() > 1 else target[:, None]
    rivals = (rows[:, None] != rows).any(dim=2)
    rivals[own, own] = True
    scores = (student @ teacher.T / temperature).masked_fill(~rivals, -math.inf)
    return F.cross_entropy(scores, own) + F.cross_entropy(scores.T, own)


def noise_contrast(pair: Tensor, draws: Tensor, weights: Tensor) -> Tensor:
    """Noise-contrastive logistic loss: log(1 + e^-pair) + Σ_k w_k·log(1 + e^draw_k).

    Mean over the batch.

    Args:
        pair: (batch,) log-odds of the positive pair.
        draws: log-odds of each noise sample, (batch, K).
        weights: w, (batch, K).
    """
    return (F.softplus(-pair) + torch.linalg.vecdot(F.softplus(draws), weights)).mean()


def log_sum(student: Tensor, teacher: Tensor, exponent: float, eps: float = 1e-5) -> Tensor:
    """log(Σ |student - teacher|^α + ε), summed over all entries."""
    return torch.log((student - teacher).abs().pow(exponent).sum() + eps)
