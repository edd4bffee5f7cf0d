"""Divergences of a student's softened softmax s from a teacher's t, by name.

Each is T²·D(t, s), summed over the alternatives, mean over the rows of (rows, alternatives) logits,
in log space and float32; the teacher gets no gradient.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from condenser.functional.losses import soft_loss

Divergence = Callable[[Tensor, Tensor, float], Tensor]  # student, teacher, temperature


def reverse(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """T²·KL(s ‖ t): the student may leave out what it cannot say; it must not invent.

    Source: Gu, Dong, Wei, Huang, "MiniLLM", ICLR 2024, https://arxiv.org/abs/2306.08543
    """
    log_s, log_t = softened(student, teacher, temperature)
    return temperature**2 * kl(log_s, log_t)


def jensen_shannon(
    student: Tensor, teacher: Tensor, temperature: float, beta: float = 0.5
) -> Tensor:
    """T²·[β·KL(t ‖ m) + (1-β)·KL(s ‖ m)], m = β·t + (1-β)·s.

    Source: Agarwal et al., "On-Policy Distillation of Language Models" (GKD), ICLR 2024,
    https://arxiv.org/abs/2306.13649
    """
    log_s, log_t = softened(student, teacher, temperature)
    middle = mixed(log_t, log_s, beta)
    return temperature**2 * (beta * kl(log_t, middle) + (1 - beta) * kl(log_s, middle))


def skew(student: Tensor, teacher: Tensor, temperature: float, weight: float = 0.1) -> Tensor:
    """T²·KL(t ‖ λ·t + (1-λ)·s), λ = ``weight``: its gradient stays bounded where s is 0.

    Source: Ko, Kim, Chen, Yun, "DistiLLM: Towards Streamlined Distillation for Large Language
    Models", ICML 2024, https://arxiv.org/abs/2402.03898, whose λ is 0.1
    """
    log_s, log_t = softened(student, teacher, temperature)
    return temperature**2 * kl(log_t, mixed(log_t, log_s, weight))


def skew_reverse(
    student: Tensor, teacher: Tensor, temperature: float, weight: float = 0.1
) -> Tensor:
    """T²·KL(s ‖ λ·s + (1-λ)·t), λ = ``weight``. Source: as ``skew``."""
    log_s, log_t = softened(student, teacher, temperature)
    return temperature**2 * kl(log_s, mixed(log_s, log_t, weight))


def alpha_beta(
    student: Tensor, teacher: Tensor, temperature: float, alpha: float = 0.2, beta: float = 0.7
) -> Tensor:
    """-T²/(αβ)·Σ[t^α·s^β - α/(α+β)·t^(α+β) - β/(α+β)·s^(α+β)].

    β → 0 at α = 1 is the forward, α → 0 at β = 1 the reverse KL; α = β = ½ is 4 times the squared
    Hellinger distance, α = β = 1 half the squared distance of the probabilities.

    Source: Wang, Yang, Wang, Wang, Xu, Huang, "ABKD: Pursuing a Proper Allocation of the
    Probability Mass in Knowledge Distillation via α-β-Divergence", ICML 2025,
    https://arxiv.org/abs/2505.04560; the defaults are its language models'
    """
    log_s, log_t = softened(student, teacher, temperature)
    both, total = (alpha * log_t + beta * log_s).exp(), alpha + beta
    apart = (alpha * (total * log_t).exp() + beta * (total * log_s).exp()) / total
    return temperature**2 / (alpha * beta) * (apart - both).sum(1).mean()


def softened(student: Tensor, teacher: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """(log s, log t)."""
    log_s = F.log_softmax(student.float() / temperature, dim=1)
    return log_s, F.log_softmax(teacher.detach().float() / temperature, dim=1)


def mixed(log_p: Tensor, log_q: Tensor, weight: float) -> Tensor:
    """log(λ·p + (1-λ)·q), 0 < λ < 1."""
    return torch.logaddexp(log_p + math.log(weight), log_q + math.log1p(-weight))


def kl(log_p: Tensor, log_q: Tensor) -> Tensor:
    """KL(p ‖ q), mean over the rows; gradients to both."""
    return (log_p.exp() * (log_p - log_q)).sum(dim=1).mean()


BY_NAME: Mapping[str, Divergence] = {
    "forward": soft_loss,
    "reverse": reverse,
    "jensen_shannon": jensen_shannon,
    "skew": skew,
    "skew_reverse": skew_reverse,
    "alpha_beta": alpha_beta,
}
