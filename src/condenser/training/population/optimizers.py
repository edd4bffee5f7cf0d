"""The optimisers of K students in as few calls as their settings allow."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from condenser.training.student import Student

KINDS = (torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW)  # each weight for itself


class Optimizers:
    """One torch optimiser for all students of the same settings, on their own states.

    Args:
        steps: that will be made.
    """

    def __init__(self, students: Sequence[Student], steps: int) -> None:
        alike: dict[Any, list[Student]] = defaultdict(list)
        rates = {student: student.rates(steps) for student in students}
        for student in students:
            alike[(*settings(student.optimizer), *rates[student])].append(student)
        self.each = [(joined(some), rates[some[0]]) for some in alike.values()]
        for student in students:
            for group in student.optimizer.param_groups:
                group["lr"] = rates[student][-1]

    def step(self, number: int) -> None:
        for optimizer, rates in self.each:
            for group in optimizer.param_groups:
                group["lr"] = rates[number]
            optimizer.step()


def settings(optimizer: torch.optim.Optimizer) -> tuple[Any, ...]:
    """What the steps depend on, the learning rate aside."""
    skipped = ("params", "lr", "initial_lr")
    groups = [
        tuple((key, value) for key, value in sorted(group.items()) if key not in skipped)
        for group in optimizer.param_groups
    ]
    return type(optimizer), *groups


def joined(students: Sequence[Student]) -> torch.optim.Optimizer:
    """An optimiser of all their weights, whose states are theirs."""
    own = [student.optimizer for student in students]
    fused = {"foreach": None, "fused": True} if students[0].device.type == "cpu" else {}
    groups: list[dict[str, Any]] = []
    for same in zip(*(optimizer.param_groups for optimizer in own), strict=True):
        weights = [weight for group in same for weight in group["params"]]
        groups.append({**same[0], "params": weights, **fused})
    whole: torch.optim.Optimizer = type(own[0])(groups, lr=groups[0]["lr"])
    for optimizer in own:
        for group in optimizer.param_groups:
            for weight in group["params"]:
                whole.state[weight] = optimizer.state[weight]
    return whole
