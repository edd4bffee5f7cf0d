"""Objectives of recommendation: golden numbers of NumPy in float64, and what is drawn."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
import torch
from places import GOLDENS
from torch import Tensor

from condenser.distill import (
    BPR,
    DE,
    RRD,
    Objective,
    Outputs,
    RankingDistillation,
    SampledSoftmax,
)
from condenser.errors import ConfigError
from condenser.functional.ranking import OUT
from condenser.functional.ranking_losses import bpr, relaxed_ranking, sampled_softmax
from condenser.tasks import Multilabel, Ranking

GOLDEN = json.loads((GOLDENS / "recommendation.json").read_text())


def wave(shape: tuple[int, ...], a: float, b: float, scale: float = 1.0) -> Tensor:
    """What the golden file calls a tensor."""
    k = torch.arange(1, math.prod(shape) + 1, dtype=torch.float64)
    return (scale * torch.sin(a * k**1.5 + b)).view(shape)


STUDENT, TEACHER = wave((3, 12), 0.37, 0.1, 2.0), wave((3, 12), 0.51, 0.7, 3.0)
TARGET = torch.tensor([2, 7, 0])
OBJECTIVES = [BPR(), SampledSoftmax(negatives=20), RankingDistillation(k=4), RRD(3, 4)]


def terms(objective: Objective, student: Tensor = STUDENT, teacher: Tensor = TEACHER) -> Any:
    objective.setup(Ranking(student.shape[1]), TARGET)
    torch.manual_seed(0)
    return objective(Outputs(student), Outputs(teacher), TARGET)


def close(found: Tensor, name: str) -> None:
    assert found.item() == pytest.approx(GOLDEN[name], rel=1e-5)


def test_bpr_is_numpys() -> None:
    others = torch.tensor([[0, 5], [1, 2], [11, 3]])
    close(bpr(STUDENT.gather(1, TARGET[:, None]), STUDENT.gather(1, others)), "bpr")


def test_sampled_softmax_is_numpys_and_estimates_the_whole_one() -> None:
    chance = wave((12,), 0.9, 0.2) ** 2 + 0.1
    chance /= chance.sum()
    drawn = torch.tensor([1, 4, 4, 7, 10])
    others = STUDENT[:, drawn] - (5 * chance[drawn]).log()
    others = others.masked_fill(drawn == TARGET[:, None], -torch.inf)
    close(sampled_softmax(STUDENT.gather(1, TARGET[:, None]), others), "sampled_softmax")
    for power in (0.0, 1.0):
        found = terms(SampledSoftmax(negatives=200_000, power=power))["loss"]
        whole = torch.nn.functional.cross_entropy(STUDENT, TARGET)
        assert found.item() == pytest.approx(whole.item(), rel=0.01)


def test_relaxed_ranking_is_numpys() -> None:
    scores = wave((3, 4), 0.77, 0.3), wave((3, 5), 0.23, 0.9)
    close(relaxed_ranking(*scores), "relaxed_ranking")
    more = torch.cat((scores[0], torch.full((3, 2), OUT, dtype=torch.float64)), dim=1)
    close(relaxed_ranking(more, scores[1]), "relaxed_ranking")


def test_ranking_distillation_is_numpys() -> None:
    objective = RankingDistillation(k=4, position=10.0, discrepancy=0.1, warmup=0.5)
    close(terms(objective)["rank"], "ranking_distillation_by_position")
    objective.progress(0.6)
    close(terms(objective)["rank"], "ranking_distillation")


def test_experts_are_numpys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the Gumbel noise, at τ = 1."""
    softmax = lambda shares, temperature: (shares / temperature).softmax(1)  # noqa: E731
    monkeypatch.setattr("torch.nn.functional.gumbel_softmax", softmax)
    student, teacher = wave((3, 3), 0.41, 0.2), wave((3, 5), 0.63, 0.5)
    objective = DE(experts=2)
    objective.build([student], [teacher])
    objective.double()
    weights = [wave((2, 4, 3), 0.3, 0.1, 0.5), wave((2, 4), 0.5, 0.2, 0.1)]
    weights += [wave((2, 5, 4), 0.2, 0.4, 0.5), wave((2, 5), 0.7, 0.1, 0.1)]
    with torch.no_grad():
        for m, expert in enumerate(objective.experts):
            for own, given in zip(expert.parameters(), weights, strict=True):
                own.copy_(given[m])
        gate: Any = objective.gate[0]
        gate.weight.copy_(wave((2, 5), 0.9, 0.3))
        gate.bias.zero_()
    close(objective.distance(student, teacher), "de")


def test_rrd_draws_by_the_teachers_ranks_and_none_that_is_labelled() -> None:
    """Scores that say which items were compared: the target and the seen are none of them."""
    seen, teacher = [4, 9], torch.arange(40.0).flip(0).repeat(3, 1)
    teacher[:, seen] = OUT
    drawn = torch.zeros(40)
    for step in range(200):
        student = torch.zeros(3, 40, requires_grad=True)
        objective = RRD(interesting=5, uninteresting=5, temperature=1.0)
        objective.setup(Ranking(40), TARGET)
        torch.manual_seed(step)
        terms = objective.match(student, teacher, TARGET)
        terms["rank"].backward()
        assert student.grad is not None
        drawn += (student.grad != 0).sum(0)
        touched = student.grad.gather(1, TARGET[:, None])
        assert not touched.any() and not student.grad[:, seen].any()
    assert drawn[1] > drawn[6] > drawn[10]
    assert drawn[25:].min() > 0  # the uninteresting, uniformly
    ahead = relaxed_ranking(torch.tensor([[3.0, 2.0]]), torch.tensor([[-1.0]]))
    assert ahead < relaxed_ranking(torch.tensor([[2.0, 3.0]]), torch.tensor([[-1.0]]))


@pytest.mark.parametrize("objective", OBJECTIVES, ids=lambda o: o.method)
def test_order_of_a_batch_and_extreme_scores(objective: Objective) -> None:
    for size in (1.0, 1e4):
        student = (size * STUDENT.float()).requires_grad_()
        loss = terms(objective, student, size * TEACHER.float())["loss"]
        loss.backward()
        assert loss.isfinite() and student.grad is not None and student.grad.isfinite().all()


def test_they_are_for_rankings() -> None:
    for objective in OBJECTIVES:
        with pytest.raises(ConfigError, match="data, this is multilabel"):
            objective.setup(Multilabel(4), torch.zeros(3, 4))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: BPR(0), "distill.negatives=0"),
        (lambda: SampledSoftmax(power=2), "distill.power=2"),
        (lambda: RRD(temperature=0), "distill.temperature=0"),
        (lambda: RankingDistillation(warmup=2), "distill.warmup=2"),
        (lambda: DE(experts=0), "distill.experts=0"),
    ],
)
def test_wrong_settings_are_named(make: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make()
