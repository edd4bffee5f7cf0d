"""What Lightning users expect of a training's steps; all of it resumes bit for bit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from running import run_in
from test_resume import KillAfter, Killed, data, plan, trained

from condenser.errors import CondenserError
from condenser.models import MLP
from condenser.training.fit import fit
from condenser.training.plan import Plan
from condenser.training.resume import Resume
from condenser.training.student import Student

OWN: dict[str, dict[str, Any]] = {
    "clip": {"clip": 0.1},
    "accumulate": {"accumulate": 3},
    "warmup": {"warmup": 0.5},
    "decay": {"decay_norms": False},
    "ema": {"ema": 0.99},
    "patience": {"patience": 1, "lr": 1.5},
    "frozen": {"frozen": ["layers.0"]},
}
TRAINER = {"accelerator": "cpu", "devices": 1}


def made(name: str = "", **own: Any) -> Student:
    torch.manual_seed(0)
    settings = own or OWN.get(name, {})
    model = MLP((1, 8, 8), 10, widths=[20])
    patterns = [n for n, m in model.named_modules() if isinstance(m, torch.nn.Linear)][:1]
    if settings.get("frozen"):
        settings = {**settings, "frozen": patterns}
    return Student(model, replace(plan(), **settings), data(), seed=1)


@pytest.mark.parametrize("name", OWN)
def test_each_changes_the_training_and_resumes_bit_for_bit(name: str, tmp_path: Path) -> None:
    make: Callable[[], Student] = partial(made, name)
    undisturbed = trained(make, Resume(tmp_path / "whole.ckpt", every=1000))
    usual = fit(made(lr=make().plan.lr), TRAINER)
    best = undisturbed.best if name == "ema" else undisturbed.last
    other = usual.best if name == "ema" else usual.last
    assert any(not torch.equal(best[key], other[key]) for key in best)
    with pytest.raises(Killed):
        trained(make, KillAfter(tmp_path / "a.ckpt", 0))
    again = trained(make, Resume(tmp_path / "a.ckpt", every=1000))
    for key, tensor in undisturbed.last.items():
        assert torch.equal(tensor, again.last[key]), key
        assert torch.equal(undisturbed.best[key], again.best[key]), key
    assert undisturbed.epochs == again.epochs


def test_accumulated_batches_are_the_step_of_a_large_one() -> None:
    sgd = partial(torch.optim.SGD)
    results = []
    for size, accumulate in ((100, 1), (25, 4)):
        torch.manual_seed(0)
        source = data()
        source.batch_size, source.augment = size, ()
        own = Plan(sgd, lr=0.1, epochs=2, batch_size=size, accumulate=accumulate)
        results.append(fit(Student(MLP((1, 8, 8), 10, widths=[20]), own, source), TRAINER).last)
    for key, tensor in results[0].items():
        torch.testing.assert_close(tensor, results[1][key], atol=1e-5, rtol=1e-4)


def test_the_gradient_is_at_most_as_long_as_asked() -> None:
    module = made(clip=1e-4, lr=1.0, epochs=1, optimizer=torch.optim.SGD)
    before = [p.detach().clone() for p in module.model.parameters()]
    fit(module, TRAINER)
    moved = sum(
        float((p - b).norm()) for p, b in zip(module.model.parameters(), before, strict=True)
    )
    assert 0 < moved <= 4 * 5 * 1e-4  # five steps of at most lr · clip, of four tensors


def test_the_rate_rises_before_it_falls() -> None:
    rates = replace(plan(), warmup=0.25)
    assert [rates.rate(x) for x in (0.0, 0.125)] == [0.0, 0.5 * plan().rate(0.125)]
    assert rates.rate(0.5) == plan().rate(0.5)


def test_norms_and_biases_do_not_decay_where_they_must_not() -> None:
    (optimizer,) = made(decay_norms=False).configure_optimizers()
    groups = optimizer.param_groups
    assert [group["weight_decay"] for group in groups] == [1e-3, 0.0]
    assert all(p.ndim == 1 for p in groups[1]["params"])


def test_frozen_layers_stay_as_they_are() -> None:
    module = made("frozen")
    (layer,) = module.still
    before = {key: tensor.clone() for key, tensor in layer.state_dict().items()}
    fit(module, TRAINER)
    assert all(torch.equal(before[key], now) for key, now in layer.state_dict().items())


def test_it_stops_when_validation_no_longer_improves() -> None:
    done = fit(made(patience=1, lr=1.5), TRAINER)
    assert done.epochs < 6 and done.epochs == done.best_epoch + 1


def test_from_the_command_line_they_are_settings_of_the_key(tmp_path: Path) -> None:
    words = ("recipe=[teacher]", "optim.epochs=2")
    plain = run_in(tmp_path, *words)[0]
    again = run_in(tmp_path, *words, "optim.ema=0", "trainer.callbacks=[]", run="again")[0]
    assert plain["key"] == again["key"] and "teacher/optim/ema" not in plain
    own = [
        ("optim.ema=0.9", "teacher/optim/ema"),
        ("trainer.gradient_clip_val=0.5", None),
        ("trainer.max_time=0.0001", None),
        ("trainer.callbacks=[{_target_:pytorch_lightning.callbacks.Timer}]", None),
    ]
    keys = {plain["key"]}
    for place, (word, setting) in enumerate(own):
        record = run_in(tmp_path, *words, word, run=f"run{place}")[0]
        keys.add(record["key"])
        assert setting is None or record[setting] == 0.9
        assert record["cost/epochs"] == (1 if "max_time" in word else 2)
    assert len(keys) == 5


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["recipe=[teacher,prune]", "optim.ema=0.9"], "prune.optim.ema=0.9: must be 0 in a stage"),
        (["recipe=[teacher]", "optim.frozen=[cf1]"], "optim.frozen=cf1: must be a pattern"),
        (
            ["recipe=[teacher]", "trainer.callbacks=[{_target_:torch.nn.ReLU}]"],
            r"callbacks\[0\]._target_=torch.nn.ReLU: must be a pytorch_lightning.Callback",
        ),
    ],
    ids=["ema", "frozen", "callbacks"],
)
def test_what_cannot_be_is_refused(words: list[str], said: str, tmp_path: Path) -> None:
    with pytest.raises(CondenserError, match=said):
        run_in(tmp_path, *words)
