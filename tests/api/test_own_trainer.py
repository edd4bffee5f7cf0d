"""An objective in a person's own loop; our modules in a person's own Lightning trainer."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from nets import Narrow
from sklearn.datasets import load_digits
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, TensorDataset

from condenser.data import Loaders
from condenser.distill import DKD, KD, Objective, Outputs
from condenser.errors import ConfigError
from condenser.training.distillation import Distillation
from condenser.training.plan import Plan
from condenser.training.student import Student

DIGITS = load_digits()
SET = TensorDataset(
    torch.tensor(DIGITS.images / 16).float()[:600, None], torch.tensor(DIGITS.target[:600])
)
TRAINER: dict[str, Any] = {
    "max_epochs": 3,
    "accelerator": "cpu",
    "logger": False,
    "enable_checkpointing": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
}


def plan() -> Plan:
    return Plan(partial(torch.optim.Adam), lr=0.01, epochs=3, batch_size=64)


def accuracy(net: torch.nn.Module) -> float:
    images, labels = SET.tensors
    return float((net(images).argmax(1) == labels).float().mean())


@pytest.mark.parametrize("objective", [KD(temperature=4, alpha=0.1), DKD()], ids=["kd", "dkd"])
def test_an_objective_in_a_loop_of_ones_own(objective: Objective) -> None:
    teacher, student = Narrow(32), Narrow(8)
    optimizer = torch.optim.Adam(student.parameters(), lr=0.01)
    first = last = None
    for images, labels in DataLoader(SET, batch_size=64):
        outputs = Outputs(student(images)), Outputs(teacher(images).detach())
        loss = objective(*outputs, labels)["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        first, last = first or float(loss), float(loss)
    assert first is not None and last is not None and last < first
    assert all(parameter.grad is None for parameter in teacher.parameters())


def test_modules_in_a_trainer_of_ones_own_with_loaders_of_ones_own() -> None:
    loader, val = DataLoader(SET, batch_size=64, shuffle=True), DataLoader(SET, batch_size=300)
    teacher, data = Narrow(32), Loaders(loader, classes=10)
    alone = Student(teacher, plan(), data)
    pl.Trainer(**TRAINER, num_sanity_val_steps=0).fit(alone, loader, val)
    assert accuracy(teacher.eval()) > 0.9 and alone.best.epoch is not None
    before = {name: tensor.clone() for name, tensor in teacher.state_dict().items()}
    student = Narrow(8)
    taught = Distillation(student, plan(), data, objective=KD(), teacher=teacher)
    pl.Trainer(**TRAINER).fit(taught, loader, val)
    assert accuracy(student.eval()) > 0.6
    assert all(torch.equal(before[name], now) for name, now in teacher.state_dict().items())


def test_the_first_step_is_that_of_a_plain_loop() -> None:
    loader = DataLoader(SET, batch_size=600)
    ours, plain = Narrow(8), Narrow(8)
    plain.load_state_dict(ours.state_dict())
    settings = TRAINER | {"max_epochs": 1}
    one = Plan(partial(torch.optim.SGD), lr=0.1, epochs=1, batch_size=600)
    pl.Trainer(**settings).fit(Student(ours, one, Loaders(loader, classes=10)), loader)
    optimizer = torch.optim.SGD(plain.parameters(), lr=0.1)
    images, labels = SET.tensors
    cross_entropy(plain(images), labels).backward()
    optimizer.step()
    for mine, theirs in zip(ours.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs)


def test_batches_that_are_no_pairs_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"batch=Tensor: must be a pair \(image, target\)"):
        Loaders(DataLoader(SET.tensors[0], batch_size=8), classes=10)  # type: ignore[arg-type]
