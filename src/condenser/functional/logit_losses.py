"""Building blocks of logit losses: float32 in and out, differentiable in every argument."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def standardize(logits: Tensor) -> Tensor:
    """Z-scores of each sample's logits: (z - mean) / (std + 1e-7), std with classes - 1.

    Args:
        logits: (batch, classes).

    Source: Sun, Ren, Li, Wang, Cao, "Logit Standardization in Knowledge Distillation", CVPR 2024,
    https://arxiv.org/abs/2403.01427
    """
    centred = logits - logits.mean(dim=1, keepdim=True)
    return centred / (logits.std(dim=1, keepdim=True) + 1e-7)


def decouple(logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Decouple the logits into target against the rest, and the classes other than the target.

    The softmax of the first is (p_y, 1 - p_y), without the cancellation of 1 - p_y; the softmax
    of the second is p without the target, renormalised.

    Args:
        logits: (batch, classes).
        target: (batch,) class indices.

    Returns:
        logits (batch, 2) and (batch, classes - 1).
    """
    index = torch.arange(logits.shape[1] - 1, device=logits.device).expand(len(logits), -1)
    others = logits.gather(1, index + (index >= target[:, None]))
    own = logits.gather(1, target[:, None])
    return torch.cat([own, others.logsumexp(dim=1, keepdim=True)], dim=1), others


def divergence(student: Tensor, teacher: Tensor) -> Tensor:
    """KL(softmax(teacher) ‖ softmax(student)) per sample, (batch,); gradients to both."""
    log_s, log_t = F.log_softmax(student, dim=1), F.log_softmax(teacher, dim=1)
    return F.kl_div(log_s, log_t, reduction="none", log_target=True).sum(dim=1)


def power_sum(logits: Tensor, power: float) -> Tensor:
    """Σ_c p_c^power of each sample, p = softmax(logits): (batch,), from 1 for a certain p to
    classes^(1 - power) for a uniform one, where power < 1."""
    return ((power * logits).logsumexp(dim=1) - power * logits.logsumexp(dim=1)).exp()


def pearson(a: Tensor, b: Tensor) -> Tensor:
    """Pearson's correlation of each row of ``a`` with the same row of ``b``, (rows,).

    The product of norms is 1e-8 larger, as in the code of the authors of DIST, so that rows which
    barely vary count as uncorrelated. A row that is constant but for rounding gives 0 and no
    gradient; its direction is noise, and 1e8 of it would go back.
    """
    centred = [x - x.mean(dim=1, keepdim=True) for x in (a, b)]
    norms = [x.norm(dim=1) for x in centred]
    flat = torch.stack([n <= 1e-6 * x.norm(dim=1) for n, x in zip(norms, (a, b), strict=True)])
    correlation = (centred[0] * centred[1]).sum(dim=1) / (norms[0] * norms[1] + 1e-8)
    return correlation.masked_fill(flat.any(dim=0), 0.0)


def gram_gap(a: Tensor, b: Tensor) -> Tensor:
    """‖aaᵀ - bbᵀ‖² / rows: distance between the Gram matrices of the rows of ``a`` and ``b``."""
    return ((a @ a.T - b @ b.T) ** 2).sum() / len(a)


def reverse_gradient(x: Tensor, strength: float) -> Tensor:
    """Identity forward; gradients are multiplied by -strength.

    Source: Ganin, Lempitsky, "Unsupervised Domain Adaptation by Backpropagation", ICML 2015,
    https://arxiv.org/abs/1409.7495
    """
    return x.detach() - strength * (x - x.detach())


def transport(
    source: Tensor, sink: Tensor, cost: Tensor, entropy: float, iterations: int
) -> Tensor:
    """Σ_ij π_ij·cost_ij of each sample, π the plan of Sinkhorn's algorithm from source to sink.

    π = u·e^(-cost/entropy)·v, u and v scaled in turn to the two marginals; 1e-8 is added to what
    they are divided by. A class of no mass in the source takes no part in the first turn either.

    Args:
        source, sink: probabilities (batch, classes).
        cost: (classes, classes), from 0 on.

    Source: Cuturi, "Sinkhorn Distances", NeurIPS 2013, https://arxiv.org/abs/1306.0895
    """
    kernel = torch.exp(-cost / entropy)
    u = (source > 0).float()
    u, v = u / u.sum(dim=1, keepdim=True), sink
    for _ in range(iterations):
        v = sink / (u @ kernel + 1e-8)
        u = source / (v @ kernel.T + 1e-8)
    return torch.linalg.vecdot(u @ (kernel * cost), v)
