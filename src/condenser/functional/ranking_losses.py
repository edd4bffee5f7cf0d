"""Losses of recommendation, of the scores that they need."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from condenser.functional.ranking import OUT


def bpr(positive: Tensor, negative: Tensor) -> Tensor:
    """-log σ(s⁺ - s⁻), mean over the pairs; positive (batch, 1), negative (batch, n).

    Source: Rendle et al., BPR: Bayesian Personalized Ranking from Implicit Feedback (2009),
    https://arxiv.org/abs/1205.2618
    """
    return F.softplus(negative - positive).mean()


def sampled_softmax(positive: Tensor, negative: Tensor) -> Tensor:
    """-log of s⁺'s share of exp(s⁺) + Σ exp(s⁻), mean; positive (batch, 1), negative (batch, n).

    Of negatives from q, s - log(n · q) makes the sum an unbiased estimate of that of all others.

    Source: Jean et al., On Using Very Large Target Vocabulary for Neural Machine Translation
    (2015), https://arxiv.org/abs/1412.2007
    """
    return (torch.cat((positive, negative), dim=1).logsumexp(1) - positive[:, 0]).mean()


def relaxed_ranking(interesting: Tensor, uninteresting: Tensor) -> Tensor:
    """-1/K Σ_k log( exp(s_k) / (Σ_{i ≥ k} exp(s_i) + Σ_j exp(u_j)) ), mean over those there are.

    The order of the K interesting items counts, of the others only that they stand behind.

    Args:
        interesting: (batch, K) scores in the teacher's order; -10,000 for none.
        uninteresting: (batch, L) scores; -inf for none.

    Source: Kang et al., DE-RRD (2020), equation 8, https://arxiv.org/abs/2012.04357
    """
    behind = interesting.flip(1).logcumsumexp(1).flip(1)
    rest = uninteresting.logsumexp(1, keepdim=True)
    terms = torch.logaddexp(behind, rest) - interesting
    there = interesting > OUT
    return (terms * there).sum() / there.sum().clamp(min=1)


def ranking_weights(ranks: Tensor, position: float, discrepancy: float) -> Tensor:
    """w_r ∝ exp(-r/λ) · tanh(max(0, μ·(r̂_r - r))), r = 1 … K; each row sums to 1, or is 0.

    Args:
        ranks: (batch, K), r̂: where the student ranks the teacher's r-th item, from 1 on.
        position: λ, how fast items further down count less.
        discrepancy: μ; 0: items count by their position alone.

    Source: Tang, Wang, Ranking Distillation (2018), equations 6 to 8,
    https://arxiv.org/abs/1809.07428
    """
    place = torch.arange(1, ranks.shape[1] + 1, device=ranks.device, dtype=torch.float32)
    weights = (-place / position).exp().expand_as(ranks)
    if discrepancy:
        weights = weights * (discrepancy * (ranks - place)).clamp(min=0).tanh()
    return weights / weights.sum(1, keepdim=True).clamp(min=1e-12)
