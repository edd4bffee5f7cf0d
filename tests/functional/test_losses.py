"""Losses and schedules: hand-computed numbers, NumPy in float64, and the limits papers state."""

from __future__ import annotations

import json
import math
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from places import GOLDENS
from torch import Tensor

from condenser.distill import KD, Labels, Objective, Outputs
from condenser.errors import ConfigError
from condenser.functional import schedules
from condenser.functional.losses import hard_loss, soft_loss

GOLDEN = json.loads((GOLDENS / "kd.json").read_text())["cases"]


def logits(*shape: int, seed: int = 0, size: float = 3.0) -> Tensor:
    return size * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def log_softmax(x: np.ndarray) -> np.ndarray:
    shifted = x - x.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


def kd_in_numpy(
    student: Tensor, teacher: Tensor, target: Tensor, temperature: float, alpha: float
) -> float:
    s, t = student.double().numpy(), teacher.double().numpy()
    hard = -log_softmax(s)[np.arange(len(s)), target.numpy()].mean()
    log_s, log_t = log_softmax(s / temperature), log_softmax(t / temperature)
    divergence = (np.exp(log_t) * (log_t - log_s)).sum(axis=1).mean()
    return alpha * hard + (1 - alpha) * temperature**2 * divergence


def kd(student: Tensor, teacher: Tensor, target: Tensor, **settings: Any) -> dict[str, Tensor]:
    return KD(**settings)(Outputs(student), Outputs(teacher), target)


@pytest.mark.parametrize("case", GOLDEN, ids=[case["name"] for case in GOLDEN])
def test_kd_gives_the_numbers_worked_out_by_hand(case: dict[str, Any]) -> None:
    student, teacher = (torch.tensor(case[who]).float() for who in ("student", "teacher"))
    settings = {key: case[key] for key in ("temperature", "alpha")}
    terms = kd(student, teacher, torch.tensor(case["target"]), **settings)
    for name in ("hard", "soft", "loss"):
        assert terms[name].item() == pytest.approx(case[name], rel=2e-6), name


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0, 20.0])
@pytest.mark.parametrize("alpha", [0.0, 0.1, 0.9])
def test_kd_agrees_with_numpy_in_float64(temperature: float, alpha: float) -> None:
    student, teacher = logits(32, 10, seed=1), logits(32, 10, seed=2)
    target = torch.arange(32) % 10
    expected = kd_in_numpy(student, teacher, target, temperature, alpha)
    got = kd(student, teacher, target, temperature=temperature, alpha=alpha)["loss"]
    assert got.item() == pytest.approx(expected, rel=1e-5)


def test_nothing_is_left_to_learn_from_a_teacher_one_equals() -> None:
    student = logits(8, 10).requires_grad_()
    loss = soft_loss(student, student.detach().clone(), 4.0)
    loss.backward()
    assert loss.item() == pytest.approx(0, abs=1e-6)
    assert student.grad is not None
    assert student.grad.abs().max() < 1e-6
    assert soft_loss(student, logits(8, 10, seed=9), 4.0) > 0.1


def test_no_gradient_reaches_the_teacher() -> None:
    student, teacher = logits(4, 5, seed=1).requires_grad_(), logits(4, 5, seed=2).requires_grad_()
    kd(student, teacher, torch.zeros(4, dtype=torch.int64))["loss"].backward()
    assert teacher.grad is None
    assert student.grad is not None
    assert student.grad.abs().sum() > 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_extreme_logits_give_finite_losses_and_gradients(
    dtype: torch.dtype, temperature: float
) -> None:
    student = torch.tensor([[1e4, -1e4, 0.0], [-1e4, 1e4, 1e4]], dtype=dtype, requires_grad=True)
    teacher = torch.tensor([[-1e4, 1e4, 0.0], [1e4, 1e4, -1e4]], dtype=dtype)
    terms = kd(student, teacher, torch.tensor([1, 0]), temperature=temperature, alpha=0.5)
    terms["loss"].backward()
    assert all(torch.isfinite(value) for value in terms.values())
    # Certain and wrong by 2e4: T²·KL is T·2e4 in row one, T·2e4/2 or more in row two.
    assert terms["soft"] > temperature * 1e4
    assert student.grad is not None
    assert torch.isfinite(student.grad).all()
    assert student.grad.abs().max() > 0.1


@pytest.mark.parametrize("autocast", [True, False])
def test_low_precision_logits_are_computed_with_in_float32(autocast: bool) -> None:
    student, teacher = logits(16, 10, seed=1).bfloat16(), logits(16, 10, seed=2).bfloat16()
    target = torch.arange(16) % 10
    expected = kd_in_numpy(student.float(), teacher.float(), target, 4.0, 0.1)
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
        terms = kd(student, teacher, target, temperature=4.0, alpha=0.1)
        terms |= {"alone": hard_loss(student, target), "too": soft_loss(student, teacher, 4.0)}
    assert {value.dtype for value in terms.values()} == {torch.float32}
    assert terms["loss"].item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("objective", [KD(), Labels()], ids=["kd", "labels"])
def test_the_order_of_a_batch_does_not_matter(objective: Objective) -> None:
    student, teacher, target = logits(16, 10, seed=1), logits(16, 10, seed=2), torch.arange(16) % 10
    order = torch.randperm(16, generator=torch.Generator().manual_seed(3))
    straight = objective(Outputs(student), Outputs(teacher), target)
    shuffled = objective(Outputs(student[order]), Outputs(teacher[order]), target[order])
    for name, value in straight.items():
        assert value.item() == pytest.approx(shuffled[name].item(), rel=1e-5)
    apart = objective(Outputs(student[order]), Outputs(teacher), target)
    assert apart["loss"].item() != pytest.approx(straight["loss"].item(), rel=1e-2)


def soft_gradient(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    student = student.clone().requires_grad_()
    soft_loss(student, teacher, temperature).backward()
    assert student.grad is not None
    return student.grad


def test_at_high_temperature_the_gradient_is_hintons_difference_of_logits() -> None:
    """∂/∂z_s → (z_s - z_t)/C for logits of mean zero (Hinton 2015, eq. 4; T² cancels its 1/T²)."""
    student, teacher = logits(6, 10, seed=1), logits(6, 10, seed=2)
    student, teacher = (z - z.mean(dim=1, keepdim=True) for z in (student, teacher))
    limit = (student - teacher) / (10 * 6)  # classes, and the mean over the batch
    torch.testing.assert_close(soft_gradient(student, teacher, 1000.0), limit, rtol=0.02, atol=2e-4)


def test_the_gradient_keeps_its_size_as_the_temperature_grows() -> None:
    student, teacher = logits(64, 10, seed=1), logits(64, 10, seed=2)
    sizes = [soft_gradient(student, teacher, t).norm().item() for t in (8.0, 32.0, 128.0)]
    assert max(sizes) / min(sizes) < 1.5  # without T² it would fall by 256


def test_hard_labels_alone_are_cross_entropy() -> None:
    student, teacher, target = logits(16, 10, seed=1), logits(16, 10, seed=2), torch.arange(16) % 10
    expected = -log_softmax(student.double().numpy())[np.arange(16), target.numpy()].mean()
    assert hard_loss(student, target).item() == pytest.approx(expected, rel=1e-6)
    assert kd(student, teacher, target, alpha=1.0)["loss"].item() == pytest.approx(expected)
    labels = Labels()(Outputs(student), None, target)
    assert labels["loss"].item() == pytest.approx(expected)
    assert (KD.needs_teacher, Labels.needs_teacher) == (True, False)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"temperature": 0}, ["distill.temperature=0", "a finite number above 0"]),
        ({"temperature": -2.5}, ["distill.temperature=-2.5", "a finite number above 0"]),
        ({"temperature": math.nan}, ["distill.temperature=nan", "a finite number above 0"]),
        ({"temperature": math.inf}, ["distill.temperature=inf", "a finite number above 0"]),
        ({"alpha": -0.1}, ["distill.alpha=-0.1", "from 0 to 1"]),
        ({"alpha": 1.5}, ["distill.alpha=1.5", "from 0 to 1"]),
        ({"alpha": math.nan}, ["distill.alpha=nan", "from 0 to 1"]),
    ],
    ids=str,
)
def test_what_kd_refuses(settings: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(ConfigError) as raised:
        KD(**settings)
    assert all(word in str(raised.value) for word in words)


MILESTONES = partial(schedules.multistep, milestones=[0.625, 0.75, 0.875])


@pytest.mark.parametrize(
    ("schedule", "values"),
    [
        (schedules.constant, {0: 1, 0.3: 1, 1: 1}),
        (schedules.one_shot, {0: 1, 0.3: 1, 1: 1}),
        (schedules.ramp, {0: 0, 0.3: 0.3, 1: 1}),
        (schedules.linear, {0: 1, 0.3: 0.7, 1: 0}),
        (partial(schedules.linear, floor=0.2), {0: 1, 0.5: 0.6, 1: 0.2}),
        (schedules.cosine, {0: 1, 1 / 3: 0.75, 0.5: 0.5, 2 / 3: 0.25, 1: 0}),
        (partial(schedules.cosine, floor=0.1), {0: 1, 0.5: 0.55, 1: 0.1}),
        (partial(schedules.cosine, cycles=2), {0: 1, 0.25: 0.5, 0.5: 1, 0.75: 0.5, 1: 0}),
        (schedules.cubic, {0: 0, 0.1: 0.271, 0.5: 0.875, 1: 1}),
        (partial(schedules.cubic, begin=0.5), {0: 0, 0.5: 0, 0.55: 0.271, 0.75: 0.875, 1: 1}),
        (
            MILESTONES,
            {0: 1, 149 / 240: 1, 150 / 240: 0.1, 180 / 240: 0.01, 210 / 240: 1e-3, 1: 1e-3},
        ),
        (partial(schedules.multistep, milestones=[0.5], gamma=0.5), {0.49: 1, 0.5: 0.5}),
    ],
    ids=lambda value: getattr(value, "__name__", "") or str(getattr(value, "keywords", "")),
)
def test_schedules_are_their_formulas(schedule: Any, values: dict[float, float]) -> None:
    for progress, value in values.items():
        assert schedule(progress) == pytest.approx(value, abs=1e-12), progress
