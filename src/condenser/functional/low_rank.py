"""Low-rank factorisation: truncated SVD, separable kernels, Tucker-2."""

from __future__ import annotations

import torch
from torch import Tensor

TINY = 1e-9  # relative to the mean eigenvalue: floor for input directions that are never used


def kept_energy(matrix: Tensor) -> Tensor:
    """Σ_{i≤r} σᵢ² / Σ σᵢ² for r = 1 … min(m, n), in float64; 1 for a matrix of zeros."""
    energy = torch.linalg.svdvals(matrix.double()).square().cumsum(0)
    return energy / energy[-1] if energy[-1] > 0 else torch.ones_like(energy)


def truncated_svd(matrix: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """(m, n) ≈ U√Σ (m, rank) · √ΣVᵀ (rank, n), the nearest of that rank in Frobenius norm.

    The error is (Σ_{i>rank} σᵢ²)^½. Both factors are of one size, so that one learning rate and
    one quantisation grid suit them. Computed in float64, returned in the matrix's dtype.

    Source: Eckart, Young, "The approximation of one matrix by another of lower rank", 1936,
    https://doi.org/10.1007/BF02288367
    """
    left, values, right = torch.linalg.svd(matrix.double(), full_matrices=False)
    root = values[:rank].sqrt()
    return (left[:, :rank] * root).to(matrix), (root[:, None] * right[:rank]).to(matrix)


def whitening(moment: Tensor) -> tuple[Tensor, Tensor]:
    """S and S⁻¹ with S·Sᵀ = moment, of inputs x: then ‖(W - Ŵ)S‖² = Σ ‖(W - Ŵ)x‖².

    Unused input directions get a small floor instead of zero, so S stays invertible.

    Args:
        moment: Σ x xᵀ, (n, n), float64.

    Source: Wang et al., "SVD-LLM: Truncation-aware Singular Value Decomposition for Large Language
    Model Compression", 2024, https://arxiv.org/abs/2403.07378
    """
    values, vectors = torch.linalg.eigh(moment)
    floor = torch.finfo(values.dtype).tiny + TINY * values.mean()
    root = values.clamp(min=floor).sqrt()
    return vectors * root, (vectors / root).T


def unfold_separable(kernel: Tensor) -> Tensor:
    """(out, in, h, w) → (in · h, out · w): rank r iff r column and r row filters reproduce it."""
    return kernel.permute(1, 2, 0, 3).flatten(2).flatten(0, 1)


def separable(kernel: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """(out, in, h, w) as column filters (rank, in, h, 1), then row filters (out, rank, 1, w).

    Sources: Jaderberg, Vedaldi, Zisserman, "Speeding up Convolutional Neural Networks with Low
    Rank Expansions", 2014, https://arxiv.org/abs/1405.3866 (scheme 2); that its optimum is the
    SVD's: Tai et al., "Convolutional neural networks with low-rank regularization", 2016,
    https://arxiv.org/abs/1511.06067
    """
    outputs, inputs, height, width = kernel.shape
    columns, rows = truncated_svd(unfold_separable(kernel), rank)
    vertical = columns.T.reshape(rank, inputs, height, 1)
    return vertical, rows.view(rank, outputs, 1, width).transpose(0, 1)


def tucker2(kernel: Tensor, ranks: tuple[int, int], sweeps: int = 5) -> tuple[Tensor, ...]:
    """(out, in, h, w) ≈ core ×₀ P ×₁ Q: P (out, r₀), core (r₀, r₁, h, w), Q (in, r₁).

    Orthonormal P and Q start from the unfoldings' leading singular vectors (HOSVD) and are improved
    in turn (HOOI); no sweep makes the error larger. core = kernel ×₀ Pᵀ ×₁ Qᵀ.

    Sources: Kim et al., "Compression of Deep Convolutional Neural Networks for Fast and Low Power
    Mobile Applications", 2016, https://arxiv.org/abs/1511.06530; De Lathauwer, De Moor, Vandewalle,
    "On the best rank-1 and rank-(R1, …, RN) approximation of higher-order tensors", 2000,
    https://doi.org/10.1137/S0895479898346995
    """
    whole = kernel.double()
    q = leading(whole.transpose(0, 1), ranks[1])
    for _ in range(sweeps):
        p = leading(torch.einsum("oihw,ib->obhw", whole, q), ranks[0])
        q = leading(torch.einsum("oihw,oa->iahw", whole, p), ranks[1])
    core = torch.einsum("oihw,oa,ib->abhw", whole, p, q)
    return p.to(kernel), core.to(kernel), q.to(kernel)


def tucker2_energy(kernel: Tensor) -> Tensor:
    """Share of ‖kernel‖² that HOSVD of ranks (r₀, r₁) keeps, at [r₀ - 1, r₁ - 1]; HOOI keeps more.

    One full decomposition gives all: its core's squares, summed up to r₀ and r₁.
    """
    outputs, inputs = kernel.shape[:2]
    _, core, _ = tucker2(kernel.double(), (outputs, inputs), sweeps=1)
    energy = core.square().sum(dim=(2, 3)).cumsum(0).cumsum(1)
    return energy / energy[-1, -1] if energy[-1, -1] > 0 else torch.ones_like(energy)


def leading(tensor: Tensor, count: int) -> Tensor:
    """(n, …) float64 → (n, count): orthonormal, the leading left singular vectors of (n, rest)."""
    matrix = tensor.flatten(1)
    _, vectors = torch.linalg.eigh(matrix @ matrix.T)  # ascending
    return vectors.flip(1)[:, :count]
