"""trainer=auto: precision and threads from flags and sizes, in the key and in the record."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from running import config_of, run_in
from torch import Tensor, nn

from condenser.data import DataModule, synthetic
from condenser.pipeline import numerics
from condenser.pipeline.console import Console
from condenser.pipeline.key import numerics as of_key
from condenser.pipeline.session import run_context
from condenser.pipeline.stages import RunContext
from condenser.training.plan import Plan
from condenser.training.student import Student

SMALL = ("model@teacher.model=mlp_128", "model@student.model=mlp_32")
LARGE = ("model@teacher.model=resnet20", "model@student.model=mlp_32")


@pytest.fixture(autouse=True)
def threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    before = torch.get_num_threads()
    monkeypatch.setattr(numerics, "ALL", 2)
    yield
    torch.set_num_threads(before)


def context(*words: str) -> RunContext:
    sides = ("data=synthetic", "data.source.n=20", "data.source.shape=[3,16,16]")
    return run_context(
        config_of("logger=csv", "trainer.accelerator=cpu", *sides, *words),
        Console(Path("."), quiet=True),
    )


@pytest.mark.parametrize(
    ("words", "amx", "precision", "count"),
    [
        (SMALL, True, "32-true", 1),
        (SMALL, False, "32-true", 1),
        (LARGE, True, "bf16-mixed", 2),
        (LARGE, False, "32-true", 2),
        ((*LARGE, "trainer.precision=32-true", "trainer.threads=1"), True, "32-true", 1),
        ((*SMALL, "trainer.precision=bf16-mixed", "trainer.threads=null"), False, "bf16-mixed", 1),
    ],
)
def test_what_is_chosen_is_in_the_key(
    monkeypatch: pytest.MonkeyPatch, words: Any, amx: bool, precision: str, count: int
) -> None:
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
    torch.set_num_threads(1)
    ctx = context(*words)
    key = of_key(ctx)
    assert (key["precision"], key["threads"], torch.get_num_threads()) == (precision, count, count)
    assert ctx.trainer["precision"] == precision


def test_a_network_in_the_recipe_counts_and_one_that_cannot_be_told_changes_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: True)
    recipe = "recipe.stages=[teacher,{distill:{model:resnet20}}]"
    assert context(*SMALL, recipe).trainer["precision"] == "bf16-mixed"
    monkeypatch.setattr(numerics, "macs_of", lambda *_: 1 / 0)
    assert context(*LARGE).trainer["precision"] == "32-true" and torch.get_num_threads() == 2


def test_the_record_says_it(tmp_path: Path) -> None:
    words = ("recipe=[student]", "data.limit=64", "trainer.precision=auto", "trainer.threads=auto")
    (record,) = run_in(tmp_path, *words)
    assert (record["cost/precision"], record["cost/threads"]) == ("32-true", 1)


class Watched(nn.Linear):  # keeps what it computes in
    def forward(self, input: Tensor) -> Tensor:
        self.given = super().forward(input).dtype
        return super().forward(input)


def test_validation_is_in_float32_whatever_training_is_in() -> None:
    data = DataModule("synthetic", partial(synthetic, n=20, shape=(1, 4, 4)), batch_size=4)
    data.setup()
    layer = Watched(16, 10)
    student = Student(nn.Sequential(nn.Flatten(), layer), Plan(torch.optim.SGD, 0.1, 1, 4), data)
    batch = next(iter(data.val_dataloader()))
    with torch.autocast("cpu", torch.bfloat16):
        student(batch.image)
        assert layer.given == torch.bfloat16
        student.validation_step(batch, 0)
        assert layer.given == torch.float32
