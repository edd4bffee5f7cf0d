"""Linear CKA by its laws, and against the other formula of it in NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from condenser.errors import ConfigError
from condenser.measure import cka, linear_cka
from condenser.models import MLP, LeNet5

SHAPES = [(200, 7, 12), (40, 90, 12), (30, 64, 50)]  # few features, many, on one side or both


def pair(n: int, d: int, other: int, shared: float = 1.0) -> tuple[Tensor, Tensor]:
    """Features with means of their own, of which y holds something of x."""
    draw = torch.Generator().manual_seed(n + d)
    x = torch.randn(n, d, generator=draw) + 3 * torch.rand(d, generator=draw)
    mixed = x @ torch.randn(d, other, generator=draw) / d**0.5
    return x, shared * mixed + torch.randn(n, other, generator=draw) - 5


def by_grams(x: Tensor, y: Tensor) -> float:
    """HSIC(K, L) / √(HSIC(K, K)·HSIC(L, L)), HSIC(K, L) = tr(KHLH), with H = 1 - 11ᵀ/n."""
    n = len(x)
    h = np.eye(n) - np.ones((n, n)) / n
    k, m = (a.double().numpy() @ a.double().numpy().T for a in (x, y))

    def hsic(a: np.ndarray, b: np.ndarray) -> float:
        return float(np.trace(a @ h @ b @ h))

    return hsic(k, m) / (hsic(k, k) * hsic(m, m)) ** 0.5


def by_features(x: Tensor, y: Tensor) -> float:
    """The same as Σ of squared covariances over those of each side with itself."""
    a, b = (t.double().numpy() for t in (x, y))
    cross = np.cov(a, b, rowvar=False)
    d = a.shape[1]
    own, given, both = cross[:d, :d], cross[d:, d:], cross[:d, d:]
    return float((both**2).sum() / np.sqrt((own**2).sum() * (given**2).sum()))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("formula", [by_grams, by_features])
def test_it_is_what_both_formulas_say(shape: tuple[int, int, int], formula: object) -> None:
    x, y = pair(*shape)
    assert callable(formula)
    assert linear_cka(x, y) == pytest.approx(formula(x, y), abs=1e-12)
    assert 0.05 < linear_cka(x, y) < 0.95


@pytest.mark.parametrize("shape", SHAPES)
def test_rotation_scale_and_shift_change_nothing(shape: tuple[int, int, int]) -> None:
    x, y = pair(*shape)
    rotation, _ = torch.linalg.qr(torch.randn(shape[1], shape[1], dtype=torch.float64))
    turned = 0.3 * x.double() @ rotation + 7
    assert linear_cka(x, x) == pytest.approx(1, abs=1e-12)
    assert linear_cka(turned, x) == pytest.approx(1, abs=1e-9)
    assert linear_cka(turned, y) == pytest.approx(linear_cka(x, y), abs=1e-9)
    assert linear_cka(x, y) == pytest.approx(linear_cka(y, x), abs=1e-12)


def test_stretching_one_direction_does_change_it() -> None:
    x, _ = pair(200, 7, 12)
    assert linear_cka(x, x * torch.tensor([100.0] + 6 * [1.0])) < 0.9


def test_independent_features_are_unlike() -> None:
    x, y = pair(5000, 8, 18, shared=0)
    assert linear_cka(x, y) == pytest.approx((8 * 18) ** 0.5 / 5000, rel=0.5)
    x, y = pair(20, 4000, 4500, shared=0)
    assert linear_cka(x, y) > 0.95  # as the docstring warns: in 20 points nothing can be seen


@pytest.mark.parametrize("value", [0.0, 0.1, 1e30])
def test_constant_features_are_like_nothing(value: float) -> None:
    x, _ = pair(33, 7, 12)
    dead = torch.full((33, 5), value)
    assert linear_cka(x, dead) == linear_cka(dead, x) == linear_cka(dead, dead) == 0.0


def test_layers_of_networks_are_compared_by_name_whole_and_as_they_stay() -> None:
    torch.manual_seed(0)
    student, teacher = MLP((1, 8, 8), 10, widths=[6], dropout=0.5), LeNet5((1, 8, 8), 10)
    student.train(), teacher.eval()
    images = torch.randn(600, 1, 8, 8)  # more than go through a network at once
    found = cka(student, teacher, images, (["fc1", "fc1"], ["conv1", "fc2"]))
    assert list(found) == ["fc1~conv1", "fc1~fc2"]
    with torch.no_grad():
        own = student.get_submodule("fc1")(images.flatten(1))
    maps = teacher.conv1(images).detach().flatten(1)
    assert found["fc1~conv1"] == pytest.approx(by_features(own, maps), abs=1e-6)
    assert found["fc1~fc2"] == pytest.approx(by_grams(own, teacher(images).detach()), abs=1e-6)
    assert student.training and not teacher.training
    assert not any(m._forward_hooks for net in (student, teacher) for m in net.modules())


def test_stages_pair_up_where_nobody_named_layers() -> None:
    torch.manual_seed(0)
    small, large = (LeNet5((1, 8, 8), 10, widths=[w, 2 * w, 20]) for w in (3, 6))
    found = cka(small, large, torch.randn(50, 1, 8, 8))
    assert len(found) > 1 and all(0 < value < 1 for value in found.values())
    same = cka(large, large, torch.randn(50, 1, 8, 8))
    assert list(same.values()) == pytest.approx([1] * len(same))


def test_one_image_says_nothing() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
    with pytest.raises(ConfigError, match="images=1"):
        cka(model, model, torch.zeros(1, 1, 2, 2), (["1"], ["1"]))
