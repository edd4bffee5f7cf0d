"""How well a score tells one set of samples from another, with bootstrap intervals."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
FALSE_POSITIVES = {"tpr_1": 0.01, "tpr_01": 0.001}
LEVEL = 0.95


def separation(
    positive: Floats, negative: Floats, repeats: int = 200, seed: int = 0
) -> dict[str, float]:
    """How far the scores of ``positive`` are above those of ``negative``.

    auc: P(positive > negative) + ½ P(equal). balanced_accuracy: (TPR + TNR) / 2 at a threshold
    that was chosen on every other sample and is judged on the rest, both ways round. tpr_1 and
    tpr_01: share of ``positive`` found where at most 1 % and 0.1 % of ``negative`` are; with fewer
    than 1,000 of these the latter allows none. Each with ``_low`` and ``_high``: 95 % percentile
    interval over ``repeats`` bootstrap samples of both sets; the thresholds of balanced_accuracy
    stay as they are.

    Args:
        positive, negative: scores (N,) and (M,), two or more each.
    """
    rng = np.random.default_rng(seed)
    own, other = (_weights(rng, len(scores), repeats) for scores in (positive, negative))
    found = _of_curve(*_curve(positive, negative, own, other))
    right = _right(positive, negative)
    true, false = (w @ r / w.sum(1) for w, r in zip((own, other), right, strict=True))
    found["balanced_accuracy"] = (true + false) / 2
    result: dict[str, float] = {}
    for key, values in found.items():
        low, high = np.quantile(values[1:], [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
        result |= {key: float(values[0]), f"{key}_low": float(low), f"{key}_high": float(high)}
    return result


def auc(positive: Floats, negative: Floats) -> float:
    """P(positive > negative) + ½ P(equal)."""
    ones = np.ones((1, len(positive))), np.ones((1, len(negative)))
    return float(_of_curve(*_curve(positive, negative, *ones))["auc"][0])


def _weights(rng: np.random.Generator, count: int, repeats: int) -> Floats:
    """How often each sample is drawn: (1 + repeats, count), the first time each once."""
    drawn = rng.multinomial(count, np.full(count, 1 / count), size=repeats)
    return np.concatenate([np.ones((1, count)), drawn])


def _curve(positive: Floats, negative: Floats, own: Floats, other: Floats) -> tuple[Floats, Floats]:
    """False and true positive rates at every threshold, equal scores together: (R, T + 1) each."""
    scores = np.concatenate([positive, negative])
    order = np.argsort(-scores, kind="stable")
    last = np.append(np.diff(scores[order]) != 0, True)
    nothing = np.zeros((len(own), 1))
    weights = (
        np.concatenate([nothing.repeat(len(positive), 1), other], axis=1),
        np.concatenate([own, nothing.repeat(len(negative), 1)], axis=1),
    )
    counts = [w[:, order].cumsum(1)[:, last] for w in weights]
    false, true = (np.concatenate([nothing, c / c[:, -1:]], axis=1) for c in counts)
    return false, true


def _of_curve(false: Floats, true: Floats) -> dict[str, Floats]:
    rates = {k: np.where(false <= v, true, 0.0).max(1) for k, v in FALSE_POSITIVES.items()}
    return {"auc": np.trapezoid(true, false, axis=1), **rates}


def _right(positive: Floats, negative: Floats) -> tuple[Floats, Floats]:
    """1 where a score is on its side of the best threshold of the samples it is not among."""
    found = np.empty(len(positive)), np.empty(len(negative))
    for half in (0, 1):
        edge = _threshold(positive[1 - half :: 2], negative[1 - half :: 2])
        found[0][half::2] = positive[half::2] >= edge
        found[1][half::2] = negative[half::2] < edge
    return found


def _threshold(positive: Floats, negative: Floats) -> float:
    """At or above it, a score is taken for ``positive``: the best by balanced accuracy."""
    ones = np.ones((1, len(positive))), np.ones((1, len(negative)))
    false, true = _curve(positive, negative, *ones)
    edges = np.unique(np.concatenate([positive, negative]))[::-1]
    return float([np.inf, *edges][int((true - false)[0].argmax())])
