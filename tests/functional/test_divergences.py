"""Divergences: closed forms, NumPy in float64, the laws that they share."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from condenser.distill import KD, Outputs
from condenser.distill.divergence import divergence_of
from condenser.errors import ConfigError
from condenser.functional.divergences import BY_NAME
from condenser.functional.losses import soft_loss
from condenser.tasks import Multilabel

Probabilities = np.ndarray


def kl(p: Probabilities, q: Probabilities) -> float:
    return float((p * (np.log(p) - np.log(q))).sum(1).mean())


def in_numpy(name: str, s: Probabilities, t: Probabilities) -> float:
    """With the papers' settings, of probabilities."""
    if name == "jensen_shannon":
        middle = (s + t) / 2
        return (kl(t, middle) + kl(s, middle)) / 2
    if name == "alpha_beta":
        a, b = 0.2, 0.7
        inside = t**a * s**b - a / (a + b) * t ** (a + b) - b / (a + b) * s ** (a + b)
        return float(-inside.sum(1).mean() / (a * b))
    return {
        "forward": kl(t, s),
        "reverse": kl(s, t),
        "skew": kl(t, 0.1 * t + 0.9 * s),
        "skew_reverse": kl(s, 0.1 * s + 0.9 * t),
    }[name]


def randn(*shape: int, seed: int) -> Tensor:
    return 3 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def softmax(x: Tensor, temperature: float) -> Probabilities:
    powers = np.exp(x.double().numpy() / temperature)
    return powers / powers.sum(1, keepdims=True)


STUDENT, TEACHER = randn(16, 10, seed=1), randn(16, 10, seed=2)
every = pytest.mark.parametrize("name", BY_NAME)


@every
@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
def test_it_is_numpys_in_float64(name: str, temperature: float) -> None:
    s, t = (softmax(x, temperature) for x in (STUDENT, TEACHER))
    expected = temperature**2 * in_numpy(name, s, t)
    got = divergence_of(name)(STUDENT, TEACHER, temperature).item()
    assert got == pytest.approx(expected, rel=2e-5)


def entropy(p: float) -> float:
    return -p * math.log(p) - (1 - p) * math.log(1 - p)


# p = (3/4, 1/4) of the teacher, q = (1/2, 1/2) of the student, T = 1, worked out by hand.
CLOSED: list[tuple[Any, float]] = [
    ("forward", 0.75 * math.log(1.5) + 0.25 * math.log(0.5)),
    ("reverse", 0.5 * math.log(4 / 3)),
    # the entropy of the mean less the mean of the entropies
    ({"jensen_shannon": {"beta": 0.5}}, entropy(5 / 8) - (entropy(3 / 4) + entropy(1 / 2)) / 2),
    ({"skew": {"weight": 0.5}}, 0.75 * math.log(6 / 5) + 0.25 * math.log(2 / 3)),
    ({"skew_reverse": {"weight": 0.5}}, 0.5 * math.log(4 / 5) + 0.5 * math.log(4 / 3)),
    # four times the squared Hellinger distance 1 - Σ√(pq), and half of Σ(p - q)²
    ({"alpha_beta": {"alpha": 0.5, "beta": 0.5}}, 4 * (1 - (math.sqrt(3) + 1) / math.sqrt(8))),
    ({"alpha_beta": {"alpha": 1, "beta": 1}}, 0.0625),
]


@pytest.mark.parametrize(("chosen", "expected"), CLOSED, ids=[str(c) for c, _ in CLOSED])
def test_it_is_the_closed_form(chosen: Any, expected: float) -> None:
    student, teacher = torch.zeros(1, 2), torch.tensor([[math.log(3.0), 0.0]])
    got = divergence_of(chosen)(student, teacher, 1.0).item()
    assert got == pytest.approx(expected, rel=2e-5)


def test_alpha_beta_ends_in_the_two_kls() -> None:
    for chosen, limit in (((1.0, 1e-3), "forward"), ((1e-3, 1.0), "reverse")):
        near = divergence_of({"alpha_beta": dict(zip(("alpha", "beta"), chosen, strict=True))})
        expected = divergence_of(limit)(STUDENT, TEACHER, 2.0).item()
        assert near(STUDENT, TEACHER, 2.0).item() == pytest.approx(expected, rel=2e-2)


@every
def test_least_where_the_student_says_the_same_and_only_the_student_learns(name: str) -> None:
    student, teacher = TEACHER.clone().requires_grad_(), TEACHER.clone().requires_grad_()
    divergence_of(name)(student, teacher, 2.0).backward()
    assert student.grad is not None
    assert student.grad.abs().max() < 1e-6
    assert divergence_of(name)(STUDENT, TEACHER, 2.0) > 0.01
    assert teacher.grad is None


@every
def test_extreme_logits_give_finite_numbers_and_gradients(name: str) -> None:
    student = (1e4 * torch.eye(4)).requires_grad_()
    for teacher in (1e4 * torch.eye(4).flip(1), torch.zeros(4, 4), -1e4 * torch.eye(4)):
        value = divergence_of(name)(student, teacher, 1.0)
        value.backward()
        assert student.grad is not None
        assert value.isfinite()
        assert student.grad.isfinite().all()


@every
def test_kd_weighs_it_beside_the_labels_of_every_task(name: str) -> None:
    target = torch.arange(16) % 10
    terms = KD(2.0, 0.25, divergence=name)(Outputs(STUDENT), Outputs(TEACHER), target)
    expected = divergence_of(name)(STUDENT, TEACHER, 2.0)
    torch.testing.assert_close(terms["soft"], expected)
    torch.testing.assert_close(terms["loss"], 0.25 * terms["hard"] + 0.75 * expected)
    labels = KD(2.0, 0.0, divergence=name)
    labels.setup(Multilabel(10), torch.zeros(16, 10))
    soft = labels(Outputs(STUDENT), Outputs(TEACHER), torch.zeros(16, 10))["soft"]
    pairs = (torch.stack([x, torch.zeros_like(x)], -1).flatten(0, 1) for x in (STUDENT, TEACHER))
    torch.testing.assert_close(soft, divergence_of(name)(*pairs, 2.0))


def test_forward_is_what_kd_was() -> None:
    assert divergence_of("forward") is soft_loss


@pytest.mark.parametrize(
    ("chosen", "says"),
    [
        ("revers", "distill.divergence=revers: unknown; did you mean reverse?"),
        ({}, "a name, or one with its settings"),
        ({"skew": {}, "reverse": {}}, "a name, or one with its settings"),
        ({"skew": {"lambda": 0.1}}, "distill.divergence.skew.lambda: no such key"),
        ({"skew": {"weight": 1}}, "weight=1: must be a number above 0 and below 1"),
        ({"alpha_beta": {"beta": 0}}, "beta=0: must be a finite number above 0"),
    ],
)
def test_what_is_refused(chosen: Any, says: str) -> None:
    with pytest.raises(ConfigError, match=says.replace("?", r"\?")):
        divergence_of(chosen)
