"""Membership inference against closed forms and sklearn, and on networks whose end is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.stats import norm
from sklearn.metrics import roc_auc_score, roc_curve
from torch import nn

from condenser.errors import CondenserError
from condenser.measure import Predictions
from condenser.measure.behaviour.privacy import calibrated, margin, membership, scores
from condenser.measure.behaviour.roc import auc, separation


@pytest.mark.parametrize("digits", [0, 1, 12], ids=["many ties", "ties", "none"])
def test_areas_and_rates_are_sklearns(digits: int) -> None:
    rng = np.random.default_rng(digits)
    positive, negative = (rng.normal(m, 1, n).round(digits) for m, n in ((0.7, 901), (0, 1200)))
    found = separation(positive, negative, repeats=2)
    truth, score = np.repeat([1, 0], [901, 1200]), np.concatenate([positive, negative])
    false, true, _ = roc_curve(truth, score, drop_intermediate=False)
    assert found["auc"] == pytest.approx(roc_auc_score(truth, score), abs=1e-12)
    assert auc(positive, negative) == pytest.approx(found["auc"], abs=1e-12)
    for key, most in (("tpr_1", 0.01), ("tpr_01", 0.001)):
        assert found[key] == pytest.approx(true[false <= most].max(), abs=1e-12)


def test_a_known_shift_is_within_its_intervals() -> None:
    rng = np.random.default_rng(7)
    found = separation(rng.normal(1, 1, 4000), rng.normal(0, 1, 4000))
    known = {
        "auc": norm.cdf(1 / np.sqrt(2)),
        "balanced_accuracy": norm.cdf(0.5),
        "tpr_1": norm.sf(norm.isf(0.01) - 1),
        "tpr_01": norm.sf(norm.isf(0.001) - 1),
    }
    for key, value in known.items():
        assert found[f"{key}_low"] < value < found[f"{key}_high"]
        assert found[f"{key}_low"] < found[key] < found[f"{key}_high"]
    assert found["auc_high"] - found["auc_low"] == pytest.approx(4 * 0.0053, rel=0.25)


def test_a_threshold_that_fits_noise_is_not_rewarded() -> None:
    noise = np.random.default_rng(3).normal(size=(400, 2, 20))
    accuracies = [separation(own, other, repeats=1)["balanced_accuracy"] for own, other in noise]
    assert np.mean(accuracies) == pytest.approx(0.5, abs=0.02)  # 0.6 if judged where it was chosen


def test_scores_by_hand() -> None:
    logits, targets = torch.tensor([[2.0, 1.0, 0.0]]), torch.tensor([1])
    p = np.exp([2, 1, 0]) / np.exp([2, 1, 0]).sum()
    found = scores(Predictions(logits, targets))
    assert found["loss"].item() == pytest.approx(np.log(p[1]))
    assert found["confidence"].item() == pytest.approx(np.log(p[0]))
    assert found["entropy"].item() == pytest.approx((p * np.log(p)).sum())
    modified = (1 - p[1]) * np.log(p[1]) + p[0] * np.log(1 - p[0]) + p[2] * np.log(1 - p[2])
    assert found["modified_entropy"].item() == pytest.approx(modified)
    phi = margin(Predictions(logits, targets)).item()
    assert phi == pytest.approx(np.log(p[1] / (1 - p[1])))


def test_scores_of_extreme_logits_are_finite() -> None:
    logits = torch.tensor([[1e4, 0.0], [0.0, 1e4]])
    for score in scores(Predictions(logits, torch.tensor([0, 0]))).values():
        assert torch.isfinite(score).all()


def test_calibration_takes_out_what_makes_samples_easy() -> None:
    generator = torch.Generator().manual_seed(0)
    easy = 5 * torch.randn(4000, generator=generator, dtype=torch.float64)
    draws = torch.randn(9, 4000, generator=generator, dtype=torch.float64)
    own = easy + draws[0] + torch.cat([torch.ones(2000), torch.zeros(2000)])
    score = calibrated(own, easy + draws[1:])
    raw, known = (auc(s[:2000].numpy(), s[2000:].numpy()) for s in (own, score))
    assert raw < 0.6 and known == pytest.approx(norm.cdf(1 / np.sqrt(2 * (1 + 1 / 8))), abs=0.02)
    with pytest.raises(CondenserError, match="no reference network"):
        calibrated(own, draws[:0])


def trained(steps: int) -> dict[str, float]:
    """Membership in a network after so many steps on random labels, by all attacks."""
    torch.manual_seed(0)
    images, targets = torch.randn(400, 16), torch.randint(5, (400,))
    model = nn.Sequential(nn.Linear(16, 256), nn.ReLU(), nn.Linear(256, 5))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(steps):
        optimizer.zero_grad()
        F.cross_entropy(model(images[:200]), targets[:200]).backward()
        optimizer.step()
    logits = model(images).detach()
    return membership(*map(Predictions, logits.split(200), targets.split(200)))


def test_an_untrained_network_tells_nothing_and_an_overfitted_one_all() -> None:
    untrained, overfitted = trained(0), trained(60)
    for attack in ("loss", "confidence", "entropy", "modified_entropy"):
        assert untrained[f"{attack}/auc_low"] < 0.5 < untrained[f"{attack}/auc_high"]
        assert overfitted[f"{attack}/auc"] > 0.7
    assert overfitted["loss/auc"] > 0.95
