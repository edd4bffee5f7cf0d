"""Which classes lose, against counts made by hand."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from condenser.errors import CondenserError
from condenser.measure import Predictions, accuracy_by_class, damage
from condenser.tasks import task_of

NAMES = ["cat", "dog", "owl", "yak"]
TARGETS = torch.tensor([0, 0, 0, 0, 1, 1, 2, 2, 2, 2])  # no yaks
TEACHER = [0, 0, 0, 1, 1, 1, 2, 2, 2, 0]  # ¾, 1, ¾
STUDENT = [0, 0, 1, 1, 1, 0, 2, 2, 2, 2]  # ½, ½, 1
MULTICLASS = task_of("multiclass", 4)


def says(classes: list[int], outputs: int = 4) -> Tensor:
    return torch.eye(outputs)[classes] * 3 - 1


def test_each_class_by_its_own_samples() -> None:
    found = accuracy_by_class(Predictions(says(STUDENT), TARGETS), NAMES, MULTICLASS)
    assert found == {"cat": 0.5, "dog": 0.5, "owl": 1.0, "yak": None}


def test_the_drop_of_the_worst_the_mean_and_the_spread() -> None:
    found = damage(Predictions(says(STUDENT), TARGETS), says(TEACHER), NAMES, MULTICLASS)
    # drops ¼, ½, -¼: mean 1/6, variance (1/16 + 1/4 + 1/16) / 3 - 1/36 = 7/72
    assert found["worst_class"] == "dog" and found["worst_drop"] == 0.5
    assert found["mean_drop"] == pytest.approx(1 / 6)
    assert found["std_drop"] == pytest.approx((7 / 72) ** 0.5)


def test_nothing_lost() -> None:
    found = damage(Predictions(says(TEACHER), TARGETS), says(TEACHER), NAMES, MULTICLASS)
    assert found == {"worst_class": "cat", "worst_drop": 0, "mean_drop": 0, "std_drop": 0}


def test_where_every_class_gained_the_worst_gained_least() -> None:
    better = [0, 0, 0, 0, 1, 1, 2, 2, 2, 2]
    worse = [0, 0, 0, 1, 1, 0, 0, 0, 2, 2]
    found = damage(Predictions(says(better), TARGETS), says(worse), NAMES, MULTICLASS)
    assert (found["worst_class"], found["worst_drop"]) == ("cat", -0.25)


def test_yes_and_no_are_two_classes() -> None:
    targets = torch.tensor([[1.0], [1.0], [0.0], [0.0], [0.0], [0.0]])
    student = torch.tensor([[2.0], [-1.0], [-1.0], [-1.0], [-1.0], [4.0]])
    teacher = torch.tensor([[2.0], [1.0], [-1.0], [-1.0], [3.0], [4.0]])
    predictions, binary = Predictions(student, targets), task_of("binary", 1)
    assert accuracy_by_class(predictions, ["spam"], binary) == {"spam": 0.5, "rest": 0.75}
    found = damage(predictions, teacher, ["spam"], binary)
    assert found == {
        "worst_class": "spam",
        "worst_drop": 0.5,
        "mean_drop": 0.125,
        "std_drop": 0.375,
    }


def test_a_label_is_right_when_it_is_absent_too() -> None:
    targets = torch.tensor([[1.0, 0.0], [0.0, 0.0], [1.0, 0.0], [1.0, 1.0]])
    student = torch.tensor([[1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0], [1.0, -1.0]])
    predictions, task = Predictions(student, targets), task_of("multilabel", 2)
    assert accuracy_by_class(predictions, ["sky", "sea"], task) == {"sky": 0.75, "sea": 0.5}
    found = damage(predictions, 2 * targets - 1, ["sky", "sea"], task)
    assert found == {"worst_class": "sea", "worst_drop": 0.5, "mean_drop": 0.375, "std_drop": 0.125}


def test_a_teacher_of_something_else_damages_nothing() -> None:
    found = damage(Predictions(says(STUDENT), TARGETS), torch.zeros(10, 7), NAMES, MULTICLASS)
    assert set(found.values()) == {None} and len(found) == 4


def test_no_samples_no_damage() -> None:
    nobody = Predictions(torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64))
    with pytest.raises(CondenserError, match="no samples"):
        damage(nobody, torch.zeros(0, 4), NAMES, MULTICLASS)
