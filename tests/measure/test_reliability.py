"""Reliability, attacks, churn, attribution: closed forms on toys, and other libraries' numbers."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from scipy.stats import spearmanr
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn

from condenser.measure import Predictions
from condenser.measure.behaviour.adversarial import attacked
from condenser.measure.behaviour.attribution import agreement, last_map, maps
from condenser.measure.behaviour.churn import changed, exemplars
from condenser.measure.behaviour.evaluated import Evaluated
from condenser.measure.behaviour.reliability import confidence, selective_risk, strangeness
from condenser.measure.behaviour.sheet import sheet


def sure(values: list[float], right: list[bool]) -> Predictions:
    """Two classes, class 0 decided on with these log-odds; the target is 0 where right."""
    logits = torch.tensor([[value, 0.0] for value in values])
    return Predictions(logits, torch.tensor([0 if ok else 1 for ok in right]))


def test_selective_risk_by_hand() -> None:
    ordered = sure([4, 3, 2, 1], [True, True, False, False])
    assert selective_risk(ordered) == pytest.approx((0 + 0 + 1 / 3 + 2 / 4) / 4)
    wrong_way = sure([1, 2, 3, 4], [True, True, False, False])
    assert selective_risk(wrong_way) == pytest.approx((1 + 1 + 2 / 3 + 2 / 4) / 4)
    says_nothing = sure([2, 2, 2, 2], [True, False, True, False])
    assert selective_risk(says_nothing) == pytest.approx(0.5)


def test_strangeness_is_sklearns_area() -> None:
    generator = torch.Generator().manual_seed(0)
    own, other = (s * torch.randn(80, 5, generator=generator) for s in (3, 1))
    score = torch.cat([confidence(own), confidence(other)]).numpy()
    truth = np.repeat([1, 0], 80)
    assert strangeness(own, other) == pytest.approx(roc_auc_score(truth, score))
    assert strangeness(own, own) == pytest.approx(0.5)


class Linear(nn.Module):
    """z = (w·x, 0): the gradient of the loss has the sign of ∓w everywhere."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([1.0, -2.0, 0.5, -0.1]))

    def forward(self, x: Tensor) -> Tensor:
        score = (x.flatten(1) * self.weight).sum(1)
        return torch.stack([score, torch.zeros_like(score)], 1)


@pytest.mark.parametrize("steps", [1, 20])
def test_the_worst_of_a_linear_network_is_known(steps: int) -> None:
    model, images, targets = Linear(), torch.full((2, 1, 2, 2), 0.5), torch.tensor([0, 1])
    moved = attacked(model, lambda x: x, images, targets, 0.1, steps)
    sign = model.weight.detach().sign().view(1, 2, 2)
    assert torch.allclose(moved, torch.stack([0.5 - 0.1 * sign, 0.5 + 0.1 * sign]))
    edge = attacked(model, lambda x: x, torch.ones(2, 1, 2, 2), targets, 0.1, steps)
    assert edge.max() <= 1 and edge.min() >= 0.9 - 1e-6


def test_gradients_are_of_the_normalised_network() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 3), nn.BatchNorm1d(3)).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    images, targets = torch.rand(3, 1, 2, 2), torch.tensor([0, 1, 2])
    moved = attacked(model, lambda x: (x - 0.5) / 0.1, images, targets, 0.01, 1)
    model.eval()
    x = images.clone().requires_grad_()
    F.cross_entropy(model((x - 0.5) / 0.1), targets).backward()
    assert x.grad is not None
    assert torch.allclose(moved, (images + 0.01 * x.grad.sign()).clamp(0, 1))
    assert all(value.equal(before[name]) for name, value in model.state_dict().items())


def test_changed_answers_by_hand() -> None:
    before = torch.tensor(
        [[9.0, 0], [8, 0], [7, 0], [0, 6], [0, 5], [0, 4], [3, 0], [2, 0], [0, 1], [0.1, 0]]
    )
    after = before.clone()
    after[[1, 4, 9]] = after[[1, 4, 9]].flip(1)
    targets = torch.tensor([0, 0, 0, 1, 0, 1, 0, 0, 1, 0])
    found = changed(before, after, targets)
    assert found == pytest.approx(
        {"changed": 0.3, "broken": 0.2, "mended": 0.1, "hard_drop": 1.0, "rest_drop": 0.0}
    )
    assert exemplars(before, after, 2).tolist() == [1, 4]


def test_a_sheet_has_a_cell_for_each_image() -> None:
    page = Image.open(io.BytesIO(sheet(torch.zeros(10, 1, 8, 4).byte(), [("a", "b")] * 10)))
    assert page.size == (8 * 96, 2 * (96 + 28)) and np.asarray(page).min() == 0


def tiny() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.AvgPool2d(4), nn.Flatten(), nn.Linear(16, 3)
    ).eval()


def test_maps_of_a_linear_network_are_its_weights() -> None:
    pytest.importorskip("captum", reason="the extra attribution is not installed")
    model = nn.Sequential(nn.Flatten(), nn.Linear(16, 3)).eval()
    images, black = torch.rand(2, 1, 4, 4), torch.full((1, 1, 4, 4), -0.5)
    target = torch.tensor([2, 0])
    found = maps(model, images, target, black)
    weight = model[1].weight.detach()[target].view(2, 4, 4)
    assert set(found) == {"gradient", "integrated"}  # it has no maps
    assert torch.allclose(found["gradient"], weight.abs())
    moved = (images - black)[:, 0]
    assert torch.allclose(found["integrated"], (weight * moved).abs(), atol=1e-5)


def test_integrated_gradients_add_up_and_leave_the_network_alone() -> None:
    pytest.importorskip("captum", reason="the extra attribution is not installed")
    model = tiny().train()
    images, target = torch.rand(2, 1, 8, 8), torch.tensor([0, 1])
    found = maps(model, images, target, torch.zeros(1, 1, 8, 8))
    assert model.training and not any(p.grad is not None for p in model.parameters())
    assert found["gradcam"].shape == (2, 8, 8) and last_map(model, images) is model[2]
    model.eval()
    rise = (
        model(images).gather(1, target[:, None])[:, 0] - model(torch.zeros(1, 1, 8, 8))[0][target]
    )
    assert (found["integrated"].sum((1, 2)) >= rise.abs().detach() - 0.01).all()


def test_agreement_is_scipys_and_the_controls() -> None:
    generator = torch.Generator().manual_seed(0)
    own, other = (torch.rand(20, 9, 9, generator=generator).round(decimals=1) for _ in range(2))
    found = agreement(own, other)
    known = [spearmanr(a.flatten(), b.flatten()).statistic for a, b in zip(own, other, strict=True)]
    assert found["spearman"] == pytest.approx(np.mean(known), abs=1e-9)
    assert abs(found["top"] - 0.1) < 0.1 and abs(found["ssim"]) < 0.1
    same = agreement(own, own)
    assert same == pytest.approx({"spearman": 1.0, "top": 1.0, "ssim": 1.0}, abs=1e-5)
    assert agreement(own, torch.zeros(20, 9, 9))["spearman"] == 0


def test_any_callable_is_asked_in_one_way() -> None:
    model, images = tiny(), torch.randint(0, 256, (501, 1, 8, 8)).byte()
    network = Evaluated(model, lambda x: x.float() / 255)
    file = Evaluated(lambda x: model(x.float() / 255).detach().numpy())
    assert network.logits(images).equal(file.logits(images))
