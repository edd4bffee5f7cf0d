"""Students that are trained together end as each would alone, to rounding."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from nets import SmallTransformer
from pytorch_lightning.loggers import Logger
from torch import Tensor, nn

from condenser.compress import Magnitude, WeightPruning
from condenser.data import DataModule, digits
from condenser.distill import DKD, KD, Labels, Objective
from condenser.functional.schedules import cosine
from condenser.models import MLP, ResNet
from condenser.runs import turns
from condenser.training.distillation import Distillation
from condenser.training.fit import Fit, fit
from condenser.training.plan import Plan
from condenser.training.population.group import Population
from condenser.training.resume import Resume, sealed
from condenser.training.student import Student

TRAINER = {"accelerator": "cpu", "devices": 1}
SGD, ADAMW = partial(torch.optim.SGD, momentum=0.9, nesterov=True), torch.optim.AdamW
Curve = list[dict[str, float]]


class Crossing(nn.Module):
    """Its channels meet outside of its layers: as one wide network it is another."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Conv2d(1, 2, 3, padding=1), nn.Conv2d(4, 3, 3, padding=1)
        self.head = nn.Linear(3 * 64, 10)

    def forward(self, image: Tensor) -> Tensor:
        x = self.one(image)
        return self.head(self.two(torch.cat([x, x.relu()], 1)).flatten(1))


class Drawing(nn.Sequential):
    """Draws where nobody can tell from its layers."""

    def forward(self, image: Tensor) -> Tensor:
        return super().forward(image + torch.rand_like(image))


def mlp() -> nn.Module:
    return MLP((1, 8, 8), 10, widths=[12])


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "mlp": mlp,
    "cnn": lambda: ResNet((1, 8, 8), 10, depth=8, widths=(4, 4, 8, 8)),
    "crossing": Crossing,
    "transformer": lambda: SmallTransformer((1, 8, 8), 10, width=8),
    "drawing": lambda: Drawing(nn.Flatten(), nn.Linear(64, 10)),
    "dropout": lambda: MLP((1, 8, 8), 10, widths=[12], dropout=0.5),
}


class Curved(Logger):
    """Keeps what it gets."""

    name = version = "curve"

    def __init__(self) -> None:
        super().__init__()
        self.rows: Curve = []

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        self.rows.append({**metrics, "step": float(step or 0)})

    def log_hyperparams(self, *_: Any, **__: Any) -> None:
        """None."""


def student(
    seed: int,
    network: str = "mlp",
    optimizer: Any = SGD,
    objective: Objective | None = None,
    **plan: Any,
) -> Student:
    data = DataModule("digits", digits, batch_size=60, limit=250, seed=seed)
    torch.manual_seed(seed)
    model = NETWORKS[network]()
    settings = {"lr": 0.01 * (1 + seed % 2), "epochs": 2, "batch_size": 60, "schedule": cosine}
    made = (
        model,
        Plan(optimizer, **settings | plan),
        data,
        objective or KD(2.0 + seed, 0.2 * seed),
    )
    if not made[3].needs_teacher:
        return Student(*made, seed=seed)
    torch.manual_seed(99)
    return Distillation(*made, seed=seed, teacher=MLP((1, 8, 8), 10, widths=[16]))


def trained(module: Student, resume: Resume | None = None) -> tuple[Fit, Curve]:
    curve = Curved()
    return fit(module, TRAINER, [curve], resume=resume), curve.rows


def together(
    modules: Sequence[Student], resumes: Sequence[Resume | None] | None = None
) -> tuple[list[tuple[Fit, Curve]], list[str]]:
    """What came of each, and what was told."""
    said: list[str] = []
    pairs = zip(modules, resumes or [None] * len(modules), strict=True)
    every = [turns.Turn(partial(trained, *pair)) for pair in pairs]
    turns.take(every, Population(said.append).serve)
    for turn in every:
        if turn.error is not None:
            raise turn.error
    return [turn.value for turn in every], said


def same(own: tuple[Fit, Curve], other: tuple[Fit, Curve], exact: bool = False) -> None:
    near = {"rtol": 0.0, "atol": 0.0} if exact else {"rtol": 1e-4, "atol": 1e-5}
    assert own[0].best_epoch == other[0].best_epoch
    for states in ((own[0].best, other[0].best), (own[0].last, other[0].last)):
        torch.testing.assert_close(*states, **near)
    assert [row.keys() for row in own[1]] == [row.keys() for row in other[1]]
    for row, as_well in zip(own[1], other[1], strict=True):
        assert row == (as_well if exact else pytest.approx(as_well, rel=1e-3, abs=1e-5))


@pytest.mark.parametrize(
    ("network", "optimizer", "objective"),
    [
        ("mlp", SGD, lambda seed: KD(2.0 + seed, 0.2 * seed)),
        ("mlp", ADAMW, lambda seed: DKD(nontarget_weight=1.0 + seed)),
        ("cnn", ADAMW, lambda seed: KD(4.0, 0.5)),
        ("cnn", SGD, lambda seed: Labels()),
        ("crossing", SGD, lambda seed: KD(2.0 + seed, 0.1)),
        ("transformer", SGD, lambda seed: Labels()),
    ],
)
def test_each_of_a_population_is_the_job_alone(
    network: str, optimizer: Any, objective: Callable[[int], Objective], counted: list[int]
) -> None:
    def made() -> list[Student]:
        return [student(seed, network, optimizer, objective(seed)) for seed in range(3)]

    alone = [trained(module) for module in made()]
    counted.clear()
    found, said = together(made())
    assert not said and counted == [1, 1, 1]  # its first step is each one's own, no other is
    for own, other in zip(alone, found, strict=True):
        same(own, other)


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A 1 for each step that a student makes by itself."""
    steps: list[int] = []
    own = Student.train_on_batch

    def step(self: Student, batch: Any) -> None:
        steps.append(1)
        own(self, batch)

    monkeypatch.setattr(Student, "train_on_batch", step)
    return steps


@pytest.mark.parametrize(
    ("network", "plan", "why"),
    [
        ("dropout", {}, "draws at random"),
        ("drawing", {}, "together they would not compute what each computes alone"),
        ("mlp", {"clip": 0.5}, "clipped"),
        ("mlp", {"optimizer": torch.optim.RMSprop}, "RMSprop"),
    ],
)
def test_what_cannot_be_together_is_named_and_exact(
    network: str, plan: dict[str, Any], why: str
) -> None:
    def made() -> list[Student]:
        return [student(seed, network, **plan) for seed in range(2)]

    alone = [trained(module) for module in made()]
    found, said = together(made())
    assert len(said) == 1 and said[0].startswith("2 jobs in turn") and why in said[0]
    for own, other in zip(alone, found, strict=True):
        same(own, other, exact=True)


def test_masks_averages_and_patience_are_each_ones_own() -> None:
    def made() -> list[Student]:
        modules = [student(seed, epochs=5, ema=0.9, patience=1 + 2 * seed) for seed in range(2)]
        for seed, module in enumerate(modules):
            module.compression = WeightPruning(0.5 + 0.3 * seed, Magnitude(), until=0.3, updates=2)
            module.compression.prepare(module.model)
        return modules

    alone = [trained(module) for module in made()]
    found, _ = together(made())
    for seed, (own, other) in enumerate(zip(alone, found, strict=True)):
        same(own, other)
        zeros = sum(int((t == 0).sum()) for name, t in other[0].last.items() if "weight" in name)
        assert zeros >= (0.5 + 0.3 * seed) * (64 * 12 + 12 * 10) - 1


class Stopped(Exception):
    """What stands for the end of the process."""


class StopAfter(Resume):
    def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
        if trainer.current_epoch > 0:
            raise Stopped


def test_what_was_killed_together_goes_on_alone_and_the_other_way_round(tmp_path: Path) -> None:
    whole = [trained(student(seed, epochs=3)) for seed in range(2)]
    files = [tmp_path / f"{seed}.ckpt" for seed in range(2)]
    with pytest.raises(Stopped):
        together([student(seed, epochs=3) for seed in range(2)], [StopAfter(f, 0) for f in files])
    assert all(sealed(file) for file in files)
    weights = torch.load(files[0], weights_only=False)["state_dict"].values()
    assert all(w.untyped_storage().nbytes() == w.nbytes for w in weights)  # not the other's, too
    first, _ = trained(student(0, epochs=3), Resume(files[0], 60))
    again, _ = together([student(1, epochs=3), student(2, epochs=3)], [Resume(files[1], 60), None])
    for own, (last, _) in ((first, whole[0]), (again[0][0], whole[1])):
        torch.testing.assert_close(own.last, last.last, rtol=1e-4, atol=1e-5)
