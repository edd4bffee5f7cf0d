"""Weights of other code: found, renamed and loaded whole, or refused in one line; no code runs."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from running import run_in
from safetensors.torch import save_file
from torch import nn

from condenser.checkpoint.importing import load_weights
from condenser.errors import CondenserError, ConfigError
from condenser.models import LeNet5, WideResNet


def net(outputs: int = 4, seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    layers = nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(3, outputs)
    return nn.Sequential(*layers)


def same(a: nn.Module, b: nn.Module) -> bool:
    theirs = b.state_dict()
    return all(torch.equal(tensor, theirs[name]) for name, tensor in a.state_dict().items())


def prefixed(model: nn.Module, prefix: str) -> dict[str, Any]:
    return {prefix + name: tensor for name, tensor in model.state_dict().items()}


def without_counters(model: nn.Module) -> dict[str, Any]:
    return {k: v for k, v in model.state_dict().items() if "num_batches" not in k}


LAID_OUT = {
    "bare": lambda model: model.state_dict(),
    "before torch 0.4": without_counters,
    "DataParallel": lambda model: {"epoch": 3, "state_dict": prefixed(model, "module.")},
    "compiled": lambda model: {"model": prefixed(model, "module._orig_mod.")},
    "Lightning": lambda model: {
        "state_dict": {**prefixed(model, "net."), "loss.weight": torch.ones(3)},
        "hyper_parameters": {"lr": 0.1},
        "optimizer_states": [torch.optim.Adam(model.parameters()).state_dict()],
    },
    "averaged": lambda model: {
        "state_dict": net(seed=7).state_dict(),
        "state_dict_ema": {**prefixed(model, "module."), "n_averaged": torch.tensor(9)},
    },
    "scores and options": lambda model: {
        "model": model.state_dict(),
        "optimizer": torch.optim.SGD(model.parameters(), 0.1).state_dict(),
        "best_acc": np.float64(0.9),
        "opt": argparse.Namespace(lr=0.1),
    },
}


@pytest.mark.parametrize("layout", LAID_OUT)
def test_what_training_scripts_save_is_loaded(tmp_path: Path, layout: str) -> None:
    model, other = net(), net(seed=1)
    torch.save(LAID_OUT[layout](model), tmp_path / "net.pth")
    load_weights(other, tmp_path / "net.pth")
    assert same(model, other)


def test_safetensors_and_a_hugging_face_folder_in_parts(tmp_path: Path) -> None:
    model, other, third = net(), net(seed=1), net(seed=2)
    state = model.state_dict()
    save_file(state, tmp_path / "net.safetensors")
    load_weights(other, str(tmp_path / "net.safetensors"))
    (tmp_path / "config.json").write_text("{}")
    half = len(state) // 2
    for number, part in enumerate((list(state)[:half], list(state)[half:])):
        save_file({n: state[n] for n in part}, tmp_path / f"model-{number}-of-2.safetensors")
    load_weights(third, tmp_path)
    assert same(model, other) and same(model, third)


def test_a_wrapper_takes_the_weights_of_what_it_wraps(tmp_path: Path) -> None:
    inner, outer = net(), nn.ModuleDict({"network": net(seed=1)})
    torch.save(inner.state_dict(), tmp_path / "net.pt")
    load_weights(outer, tmp_path / "net.pt")
    assert same(inner, outer["network"])


@pytest.mark.parametrize("as_file", [False, True])
def test_names_are_mapped_by_rules_in_their_order(tmp_path: Path, as_file: bool) -> None:
    model, other = net(), net(seed=1)
    names = {"0": "stem.conv", "1": "stem.bn", "3": "classifier"}
    state = {
        f"{names[n.partition('.')[0]]}.{n.partition('.')[2]}": t
        for n, t in model.state_dict().items()
    }
    torch.save({**state, "aux.weight": torch.ones(2)}, tmp_path / "net.pt")
    rules: Any = {r"^stem\.conv": "0", r"^stem\.bn": "1", "classifier": "3", "^aux": None}
    if as_file:
        (tmp_path / "keys.yaml").write_text(json.dumps(rules))
        rules = str(tmp_path / "keys.yaml")
    load_weights(other, tmp_path / "net.pt", rules)
    assert same(model, other)


def test_published_teachers_load_by_order_and_shapes(tmp_path: Path) -> None:
    """The field's wide ResNets call their blocks ``block1.layer.0``; the order is ours."""
    torch.manual_seed(0)
    model, other = (WideResNet((3, 32, 32), 100, depth=16, widen=1) for _ in range(2))
    state = {n.replace("layer", "block", 1): t for n, t in model.state_dict().items()}
    torch.save({"model": state}, tmp_path / "wrn.pth")
    with pytest.raises(ConfigError, match=r"order and shapes are the same \(teacher.file.keys=ord"):
        load_weights(other, tmp_path / "wrn.pth")
    load_weights(other, tmp_path / "wrn.pth", "order")
    assert same(model, other)


def message(*args: Any, **kwargs: Any) -> str:
    with pytest.raises(CondenserError) as caught:
        load_weights(*args, **kwargs)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_head_of_another_size_is_named_and_may_start_anew(tmp_path: Path) -> None:
    model, other = net(4), net(7, seed=1)
    file, head = tmp_path / "net.pt", other[3].weight.clone()
    torch.save(model.state_dict(), file)
    said = "must be weights of 7 outputs; its head 3 has 4; teacher.file.new=[3]"
    assert said in message(other, file)
    assert load_weights(other, file, new=["3"]).new == ("3.weight", "3.bias")
    assert torch.equal(other[3].weight, head) and torch.equal(other[0].weight, model[0].weight)


def test_names_without_a_counterpart_are_listed_with_the_nearest(tmp_path: Path) -> None:
    file, model = tmp_path / "net.pt", LeNet5((1, 8, 8), 10)
    state = model.state_dict()
    state["conv2.weihgt"] = state.pop("conv2.weight")
    state["fc1.weight"] = state["fc1.weight"][:, :5]
    torch.save(state, file)
    said = message(model, file)
    assert "1 missing: conv2.weight" in said
    assert "1 unknown: conv2.weihgt (did you mean conv2.weight?)" in said
    assert "1 of another shape: fc1.weight is" in said


class Touching:
    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return Path.touch, (Path(self.path),)  # type: ignore[return-value]

    def __init__(self, path: Path) -> None:
        self.path = str(path)


def test_no_code_runs_and_no_pipe_blocks(tmp_path: Path) -> None:
    marker, file = tmp_path / "ran", tmp_path / "net.pt"
    torch.save({"model": net().state_dict(), "x": Touching(marker)}, file)
    assert "which is code" in message(net(), file) and not marker.exists()
    torch.save(net(), file)
    assert "it holds a torch.nn.modules.container.Sequential, which is code" in message(net(), file)
    os.mkfifo(tmp_path / "pipe.pt")
    assert "is no regular file" in message(net(), tmp_path / "pipe.pt")


def test_several_unknown_states_are_listed(tmp_path: Path) -> None:
    file, model, other = tmp_path / "net.pt", net(), net(seed=1)
    torch.save({"a": net(seed=3).state_dict(), "b": model.state_dict()}, file)
    assert "or teacher.file.entry=one of a, b" in message(other, file)
    assert "teacher.file.entry=c: unknown" in message(other, file, entry="c")
    load_weights(other, file, entry="b")
    assert same(model, other)


@pytest.mark.parametrize(
    ("rules", "said"),
    [
        ({"nothing": "x"}, "teacher.file.keys=nothing: must be a pattern that some tensor"),
        ({r"0\.(weight|bias)": "x"}, "x is there twice"),
        ({"0": r"\2"}, "invalid group reference"),
    ],
)
def test_rules_that_cannot_be_meant_are_refused(tmp_path: Path, rules: Any, said: str) -> None:
    torch.save(net().state_dict(), tmp_path / "net.pt")
    assert said in message(net(), tmp_path / "net.pt", rules)


def test_a_teacher_from_a_file_is_measured_and_goes_on(tmp_path: Path) -> None:
    own = ("model@teacher.model=lenet5_tenth", "recipe=[teacher,{prune:{epochs:0}}]")
    trained = run_in(tmp_path, *own)
    (weights,) = (tmp_path / ".store").glob("teacher-*/weights.safetensors")
    file = tmp_path / "t.safetensors"
    file.write_bytes(weights.read_bytes())
    words = (*own, f"teacher.load={file}")
    loaded = run_in(tmp_path, *words, run="loaded")
    assert loaded[0]["test/accuracy"] == trained[0]["test/accuracy"]
    assert loaded[1]["test/accuracy"] == trained[1]["test/accuracy"]
    assert loaded[0]["teacher/file/seen_validation"] is True and not loaded[0]["cost/epochs"]
    again = run_in(tmp_path, *words, "teacher.epochs=3", run="again")
    assert again[0]["key"] == loaded[0]["key"]  # it is not trained: its epochs mean nothing
    new = run_in(tmp_path, *words, "teacher.file.new=[fc2]", run="new")
    assert new[0]["key"] != loaded[0]["key"]
    with pytest.raises(ConfigError, match="weights of this network"):
        run_in(tmp_path, "model@teacher.model=lenet5", f"teacher.load={file}", "recipe=[teacher]")


def test_what_was_never_trained_here_has_no_baseline_from_scratch(tmp_path: Path) -> None:
    own = ("model@teacher.model=lenet5_tenth", "recipe=[teacher,prune]", "prune.epochs=0")
    trained = run_in(tmp_path, *own, "baselines=true")
    scratch = {r["baseline/kind"]: r["cost/epochs"] for r in trained[2:]}
    assert scratch == {"random": None, "scratch": 1}  # as many as the teacher took
    (weights,) = (tmp_path / ".store").glob("teacher-*/weights.safetensors")
    load = f"teacher.load={weights}"
    loaded = run_in(tmp_path, *own, "baselines=true", load, run="loaded")
    assert [r["baseline/kind"] for r in loaded[2:]] == ["random"]
