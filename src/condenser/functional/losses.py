"""Distillation losses, computed in log space and float32 under any autocast precision."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


def hard_loss(logits: Tensor, target: Tensor, weights: Sequence[float] | None = None) -> Tensor:
    """Cross-entropy with the labels: -log softmax(logits)[target], mean over the batch.

    Args:
        logits: (batch, classes).
        target: (batch,) class indices; or (batch, classes), each class's share.
        weights: of the classes; the mean is then weighted by that of each sample's class.
    """
    factors = None if weights is None else logits.new_tensor(weights, dtype=torch.float32)
    return F.cross_entropy(logits.float(), target, factors)


def soft_loss(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """T² · KL(softmax(teacher/T) ‖ softmax(student/T)), summed over classes, mean over the batch.

    T² keeps the gradient's magnitude independent of T. The teacher gets no gradient.

    Args:
        student: (batch, classes) logits.
        teacher: (batch, classes) logits.
        temperature: T > 0.

    Source: Hinton, Vinyals, Dean, "Distilling the Knowledge in a Neural Network", 2015,
    https://arxiv.org/abs/1503.02531
    """
    log_s = F.log_softmax(student.float() / temperature, dim=1)
    log_t = F.log_softmax(teacher.detach().float() / temperature, dim=1)
    return temperature**2 * F.kl_div(log_s, log_t, reduction="batchmean", log_target=True)


def binary_loss(logits: Tensor, target: Tensor) -> Tensor:
    """-[y·log σ(z) + (1-y)·log(1 - σ(z))], mean over batch and labels.

    Args:
        logits: (batch, labels).
        target: (batch, labels) from 0 to 1.
    """
    return F.binary_cross_entropy_with_logits(logits.float(), target.float())


def yes_or_no(logits: Tensor) -> Tensor:
    """Each label as a two-class problem whose softmax is (σ(z), 1 - σ(z)) at any temperature.

    KL and everything else defined on a softmax then applies to a label.

    Args:
        logits: (batch, labels).

    Returns:
        (batch·labels, 2) logits, those of a sample one after the other.
    """
    return torch.stack([logits, torch.zeros_like(logits)], dim=-1).flatten(0, 1)
