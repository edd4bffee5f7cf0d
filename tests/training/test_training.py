"""What every training does, whatever it trains."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from torch import nn

from condenser.data import DataModule, digits
from condenser.distill import KD
from condenser.training.distillation import Distillation
from condenser.training.fit import fit
from condenser.training.plan import Plan
from condenser.training.student import Student

TRAINER = {"accelerator": "cpu", "devices": 1}
EPOCHS, BATCHES = 2, 5


class Watch(nn.Module):
    """Notes the mode it is called in."""

    def __init__(self) -> None:
        super().__init__()
        self.modes: list[bool] = []

    def forward(self, x: Any) -> Any:
        self.modes.append(self.training)
        return x


def network() -> nn.Sequential:
    """In eval mode, as it comes from the store."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), Watch())
    return net.append(nn.Linear(144, 10)).eval()


@pytest.mark.parametrize("taught", [False, True])
def test_a_stored_network_trains_in_training_mode_and_its_teacher_does_not(taught: bool) -> None:
    data = DataModule("digits", digits, batch_size=100, limit=100 * BATCHES)
    plan = Plan(partial(torch.optim.SGD), lr=0.01, epochs=EPOCHS, batch_size=100)
    model, teacher = network(), network()
    norm, before = teacher[1], teacher[1].running_mean.clone()
    if taught:
        module: Student = Distillation(model, plan, data, objective=KD(), teacher=teacher)
    else:
        module = Student(model, plan, data)
    model.apply(lambda layer: layer.modes.clear() if isinstance(layer, Watch) else None)
    fit(module, TRAINER)
    assert int(model[1].num_batches_tracked) == EPOCHS * BATCHES
    assert not torch.equal(model[1].running_mean, before)
    assert sum(model[4].modes) == EPOCHS * BATCHES  # validation is not in training mode
    assert len(model[4].modes) > EPOCHS * BATCHES
    assert torch.equal(norm.running_mean, before) and not any(teacher[4].modes)
