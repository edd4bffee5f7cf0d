"""A training that is killed and started again ends as if nothing had happened, bit for bit."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from condenser.compress import (
    CalibrationData,
    Magnitude,
    PruneAndQuantize,
    QuantizationAware,
    WeightPruning,
)
from condenser.data import DataModule, HorizontalFlip, Shift, digits
from condenser.distill import KD
from condenser.functional.schedules import cosine
from condenser.models import MLP, LeNet5, ResNet
from condenser.training.distillation import Distillation
from condenser.training.fit import Fit, fit
from condenser.training.plan import Plan
from condenser.training.resume import Resume
from condenser.training.student import Student

EPOCHS = 6
TRAINER = {"accelerator": "cpu", "devices": 1, "deterministic": True}


class Killed(Exception):
    """What stands for the end of the process."""


class KillAfter(Resume):
    """Writes the state as ``Resume`` does and dies in the epoch after ``epoch``."""

    def __init__(self, path: Path, epoch: int) -> None:
        super().__init__(path, every=0)
        self.epoch = epoch

    def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
        if trainer.current_epoch > self.epoch:
            raise Killed


def data() -> DataModule:
    augment = [Shift(1), HorizontalFlip()]
    return DataModule("digits", digits, batch_size=100, limit=500, augment=augment, seed=3)


def plan() -> Plan:
    optimizer = partial(torch.optim.SGD, momentum=0.9, weight_decay=1e-3)
    return Plan(optimizer, lr=0.05, epochs=EPOCHS, batch_size=100, schedule=cosine)


def with_dropout() -> Student:
    torch.manual_seed(0)
    return Student(MLP((1, 8, 8), 10, widths=[40], dropout=0.5), plan(), data(), seed=1)


def distilled() -> Student:
    torch.manual_seed(1)
    teacher, student = LeNet5((1, 8, 8), 10), MLP((1, 8, 8), 10, widths=[20])
    return Distillation(student, plan(), data(), objective=KD(), teacher=teacher)


def pruned() -> Student:
    torch.manual_seed(2)
    model = LeNet5((1, 8, 8), 10, widths=[6, 16, 50])
    compression = WeightPruning(0.7, Magnitude(), until=0.7, updates=7)
    compression.prepare(model)
    return Student(model, plan(), data(), compression=compression)


def rounded(compression: QuantizationAware | None = None) -> Student:
    torch.manual_seed(3)
    model = ResNet((1, 8, 8), 10, depth=8, widths=[4, 4, 8, 8])
    compression, source = compression or QuantizationAware(3, 3), data()
    source.setup()
    images = source.sample(64)
    compression.prepare(
        model, CalibrationData(lambda n: [images], torch.nn.functional.cross_entropy, dict)
    )
    return Student(model, plan(), source, compression=compression)


def rounded_and_pruned() -> Student:
    return rounded(PruneAndQuantize(3, 3, prune=WeightPruning(0.7, Magnitude(), until=0.7)))


def trained(make: Callable[[], Student], resume: Resume) -> Fit:
    return fit(make(), TRAINER, resume=resume)


@pytest.mark.parametrize("make", [with_dropout, distilled, pruned, rounded, rounded_and_pruned])
@pytest.mark.parametrize("epoch", [0, 3])
def test_killed_and_started_again_is_undisturbed(
    make: Callable[[], Student], epoch: int, tmp_path: Path
) -> None:
    whole = trained(make, Resume(tmp_path / "whole.ckpt", every=1000))
    assert not (tmp_path / "whole.ckpt").exists()
    with pytest.raises(Killed):
        trained(make, KillAfter(tmp_path / "a.ckpt", epoch))
    again = trained(make, Resume(tmp_path / "a.ckpt", every=1000))
    for name, tensor in whole.last.items():
        assert torch.equal(tensor, again.last[name]), name
        assert torch.equal(whole.best[name], again.best[name]), name
    assert whole.best_epoch == again.best_epoch
    assert again.seconds > 0


def test_a_checkpoint_holds_no_code_and_no_teacher(tmp_path: Path) -> None:
    with pytest.raises(Killed):
        trained(distilled, KillAfter(tmp_path / "a.ckpt", 1))
    checkpoint = torch.load(tmp_path / "a.ckpt", weights_only=True)
    names = set(checkpoint["state_dict"])
    assert names == {f"model.{name}" for name in MLP((1, 8, 8), 10, widths=[20]).state_dict()}
