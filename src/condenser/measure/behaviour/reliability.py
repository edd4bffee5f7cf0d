"""Whether a network knows when it is wrong: selective risk, and images of other data."""

from __future__ import annotations

import torch
from torch import Tensor

from condenser.measure.behaviour.roc import auc
from condenser.measure.quality import Predictions


def confidence(logits: Tensor) -> Tensor:
    """log of the largest probability, which orders as the probability does: float64 (N,)."""
    return logits.double().log_softmax(1).max(1).values


def selective_risk(predictions: Predictions) -> float:
    """AURC: mean over k = 1 … N of the error rate among the k most confident; 0 is best.

    Equally confident samples count as their mean error. Of a network of error e whose confidence
    says nothing it is e.

    Source: Geifman, Uziel, El-Yaniv, "Bias-Reduced Uncertainty Estimation for Deep Neural
    Classifiers", ICLR 2019, https://arxiv.org/abs/1805.08206
    """
    score = confidence(predictions.logits)
    wrong = (predictions.logits.argmax(1) != predictions.targets).double()
    _, place, count = (-score).unique(return_inverse=True, return_counts=True)
    tied = torch.zeros(len(count), dtype=torch.float64).index_add(0, place, wrong) / count
    errors = tied.repeat_interleave(count).cumsum(0)
    return float((errors / torch.arange(1, len(errors) + 1)).mean())


def strangeness(own: Tensor, other: Tensor) -> float:
    """AUROC by which less confidence tells images of ``other`` data (M, classes) from one's own
    (N, classes): ½ where it says nothing.

    Source: Hendrycks, Gimpel, "A Baseline for Detecting Misclassified and Out-of-Distribution
    Examples in Neural Networks", ICLR 2017, https://arxiv.org/abs/1610.02136
    """
    return auc(confidence(own).numpy(), confidence(other).numpy())
