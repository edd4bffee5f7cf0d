"""Several processes train what one would have trained, and leave what one would have left."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from places import CONF
from running import QUICK, config_of, run_in
from torch import Tensor, nn

from condenser.data import DataModule, digits
from condenser.distill import (
    CC,
    CRD,
    DIST,
    KD,
    PKT,
    RKD,
    SP,
    SRD,
    AdjacentCC,
    InfoNCE,
    Labels,
    MultiTemperature,
    Objective,
    Sum,
)
from condenser.errors import CondenserError, ConfigError
from condenser.models import MLP, LeNet5
from condenser.runs import records
from condenser.training.distillation import Distillation
from condenser.training.distributed import launch, strategies
from condenser.training.distributed.process_group import check, form
from condenser.training.distributed.shard import pairs
from condenser.training.fit import Fit, fit
from condenser.training.plan import Plan

TRAINER = {
    "accelerator": "cpu",
    "devices": 2,
    "num_nodes": 1,
    "deterministic": True,
    "strategy": "ddp",
    "tensor_parallel_size": None,
    "sync_batchnorm": False,
}
ALONE = {**TRAINER, "devices": 1}
TRAIN = CONF.parent / "src/train.py"


def both() -> Objective:
    related = {"weight": 0.5, "objective": RKD()}
    return Sum({"kd": {"weight": 1.0, "objective": KD()}, "rkd": related})


OBJECTIVES: Mapping[str, Callable[[], Objective]] = {
    "labels": Labels,
    "kd": KD,
    "dist": DIST,
    "levels": MultiTemperature,
    "rkd": RKD,
    "kd_rkd": both,
    "cc": CC,
    "adjacent_cc": AdjacentCC,
    "sp": SP,
    "pkt": PKT,
    "srd": SRD,
    "infonce": partial(InfoNCE, dimensions=8),
    "crd": partial(CRD, memory=40, dimensions=8),
}


def trained(
    objective: Objective,
    batch: int,
    trainer: Mapping[str, Any],
    rate: float = 0.02,
    apart: float = 0.0,
) -> Fit:
    """A student that one epoch of eight steps has taught, in whatever processes there are.

    ``apart``: how far, relatively, each of its first weights is moved, up or down at random.
    """
    torch.manual_seed(5)
    data = DataModule("digits", digits, batch_size=batch, limit=400, seed=3)
    optimizer = partial(torch.optim.SGD, momentum=0.9)
    plan = Plan(optimizer, lr=rate, epochs=2, batch_size=batch)
    teacher = LeNet5((1, 8, 8), 10, widths=[4, 8, 20])
    student = MLP((1, 8, 8), 10, widths=[24, 12])
    for weight in student.parameters() if apart else ():
        weight.data *= 1 + apart * torch.randn(weight.shape)
    return fit(Distillation(student, plan, data, objective, teacher=teacher, seed=1), trainer)


def weights(done: Fit) -> dict[str, Tensor]:
    return {**done.last, **{f"best.{name}": tensor for name, tensor in done.best.items()}}


def every_way(config: Mapping[str, Any], file: str | None) -> None:
    """What two processes make of every objective, and what every strategy makes of two of them."""
    group = form(config)
    found = {}
    for name, make in OBJECTIVES.items():
        found["ddp", name] = weights(trained(make(), 50, config))
    blind = RKD()
    blind.relational = False
    found["ddp", "blind"] = weights(trained(blind, 50, config))
    for word in strategies.SHARDED:
        own = {**config, "strategy": word}
        batch = 50 if word == "fsdp" else 100  # where tensors are cut up, both see all samples
        for name in ("kd", "kd_rkd", "infonce"):
            found[word, name] = weights(trained(OBJECTIVES[name](), batch, own))
    if group.is_main:
        assert file is not None
        torch.save(found, file)
    group.leave()


def test_two_processes_train_what_one_does(tmp_path: Path) -> None:
    """On the same global batch, to rounding; losses that compare samples see all of it."""
    file = tmp_path / "weights.pt"
    launch.launch(every_way, 2, TRAINER, str(file))
    gaps: dict[str, dict[str, float]] = {"ddp": {}, "fsdp": {}, "tensor_parallel": {}}
    for (strategy, name), found in torch.load(file, weights_only=True).items():
        make = OBJECTIVES["rkd" if name == "blind" else name]
        alone = weights(trained(make(), 100, ALONE))
        gaps[strategy][name] = max(float((found[k] - t).abs().max()) for k, t in alone.items())
    assert gaps["ddp"].pop("blind") > 1e-3  # relations within half a batch are others
    assert set(gaps["ddp"]) == set(OBJECTIVES)
    for strategy, found in gaps.items():
        apart = {n: gap for n, gap in found.items() if not gap < (1e-5 if n == "dist" else 2e-6)}
        assert apart == {}, (
            strategy
        )  # to rounding, which dist amplifies, in one process too: see below


def test_dist_amplifies_rounding_in_one_process_too() -> None:
    """Why its bound above is wider: weights that begin 6e-8 apart end 1e-6 apart, as kd's do not,
    since correlations divide by the spread of a class's probabilities, which is small at first."""

    def end(make: Callable[[], Objective], apart: float) -> dict[str, Tensor]:
        return weights(trained(make(), 100, ALONE, apart=apart))

    def gap(make: Callable[[], Objective]) -> float:
        one, other = end(make, 0.0), end(make, 6e-8)
        return max(float((one[name] - other[name]).abs().max()) for name in one)

    assert gap(DIST) > 10 * gap(KD)


def test_what_an_activation_divides_is_put_together_once() -> None:
    network = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 4), nn.BatchNorm1d(4))
    styles = {name: type(style).__name__ for name, style in pairs(network)}
    assert styles == {"0": "ColwiseParallel", "2": "RowwiseParallel"}
    split = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Linear(8, 4))
    assert {type(style).__name__ for _, style in pairs(split)} == {"ColwiseParallel"}


def test_a_recipe_in_two_processes_leaves_one_run(tmp_path: Path) -> None:
    """One folder, one record a stage, one curve a stage; and two see what one sees."""
    ddp = ("trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2", "optim.batch_size=32")
    stages = "recipe.stages=[teacher,distill,prune,quantize]"
    made = run_in(tmp_path, stages, *ddp, "prune.rate=0.5")
    assert [record["stage"] for record in made] == ["teacher", "distill", "prune", "quantize"]
    (folder,) = (path for path in (tmp_path / "default").iterdir() if path.is_dir())
    assert len(records.read([folder])) == 4
    assert made[2]["size/nonzero"] < 0.52 * made[2]["size/params"]
    single = run_in(tmp_path, stages, "optim.batch_size=64", "prune.rate=0.5", run="single")
    for several, one in zip(made, single, strict=True):
        assert several["key"] != one["key"]
        assert several["test/accuracy"] == pytest.approx(one["test/accuracy"], abs=0.01)


def test_a_mistake_is_told_once_and_ends_all(tmp_path: Path) -> None:
    with pytest.raises(CondenserError, match="diverged"):
        run_in(tmp_path, "recipe.stages=[teacher]", "optim.lr=1e30", "trainer.devices=2")


def die(config: Mapping[str, Any], command: str | None) -> None:
    group = form(config)
    if not group.is_main:
        os.kill(os.getpid(), signal.SIGKILL)
    group.run_on_all(die)


def test_a_process_that_dies_ends_all() -> None:
    with pytest.raises(CondenserError, match="process 1 of 2 died .SIGKILL."):
        launch.launch(die, 2, TRAINER, None)


def test_what_cannot_be_is_refused_before_anything_starts(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="num_nodes.*torchrun --nnodes=2"):
        run_in(tmp_path, "trainer.num_nodes=2")
    with pytest.raises(ConfigError, match="tensor_parallel_size=2: must be a divisor of 3"):
        check(config_of(*QUICK, "trainer.tensor_parallel_size=2")["trainer"], 3)
    with pytest.raises(ConfigError, match="sync_batchnorm=true: must be false on the CPU"):
        check(config_of(*QUICK, "trainer.sync_batchnorm=true")["trainer"], 1)


def test_more_gpus_than_there_are_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    gpus = config_of(*QUICK, "trainer.accelerator=gpu", "trainer.devices=auto")["trainer"]
    assert launch.devices(gpus) == 2
    with pytest.raises(ConfigError, match="trainer.devices=3: must be at most 2, the GPUs"):
        launch.devices({**gpus, "devices": 3})


def by_hand(folder: Path, *words: str, torchrun: bool = False) -> list[str]:
    by_torch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    start = by_torch if torchrun else []
    ddp = ("trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2", "recipe.stages=[teacher]")
    quick = ("logger=csv", "trainer.threads=1", f"runs={folder}")
    return [sys.executable, *start, str(TRAIN), *ddp, *quick, *words]


def made_in(folder: Path) -> str:
    (file,) = folder.glob(".store/teacher-*/weights.safetensors")
    return hashlib.sha256(file.read_bytes()).hexdigest()


@pytest.mark.fuzz  # half a minute of two processes
def test_killed_in_two_processes_and_started_again_is_undisturbed(tmp_path: Path) -> None:
    """torchrun starts the undisturbed one, so that whoever starts them makes no difference."""
    words = ("optim.epochs=6", "optim.batch_size=32", "trainer.checkpoint_seconds=0")
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    command = by_hand(tmp_path / "killed", *words)
    running = subprocess.Popen(command, start_new_session=True, **quiet)  # type: ignore[call-overload]
    limit = time.monotonic() + 100
    while not list((tmp_path / "killed").glob(".store/.teacher-*.ckpt")):
        assert running.poll() is None and time.monotonic() < limit
        time.sleep(0.01)
    with suppress(ProcessLookupError):
        os.killpg(running.pid, signal.SIGKILL)
    running.wait()
    assert not list((tmp_path / "killed").glob(".store/teacher-*/"))
    subprocess.run(command, check=True, **quiet)  # type: ignore[call-overload]
    whole = by_hand(tmp_path / "whole", *words, torchrun=True)
    subprocess.run(whole, check=True, **quiet)  # type: ignore[call-overload]
    assert made_in(tmp_path / "killed") == made_in(tmp_path / "whole")
