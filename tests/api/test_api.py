"""Five lines of Python do what the command line does."""

from __future__ import annotations

import doctest
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from nets import Narrow
from places import SRC
from running import run_in
from sklearn.datasets import load_digits
from torch.utils.data import TensorDataset

import condenser as cz
import condenser.data.handed_over
from condenser.errors import CondenserError, ConfigError

DIGITS = load_digits()
IMAGES, LABELS = (DIGITS.images / 16).astype("float32"), DIGITS.target
QUICK: dict[str, Any] = {
    "optim": {"epochs": 2},
    "trainer": {"threads": 1, "accelerator": "cpu", "progress": False},
    "quantize": {"images": 64},
}


def trained() -> Narrow:
    """A network trained by a loop of one's own."""
    torch.manual_seed(0)
    net, images, labels = Narrow(32), torch.tensor(IMAGES)[:, None], torch.tensor(LABELS)
    optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
    for _ in range(60):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(net(images), labels).backward()
        optimizer.step()
    return net.eval()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Narrow]:
    folder, net = tmp_path_factory.mktemp("runs"), trained()
    data = cz.data(IMAGES, LABELS)
    recipe = ["distill", {"prune": {"rate": 0.5}}, "quantize"]
    small = cz.compress(
        partial(Narrow, width=32),
        net.state_dict(),
        data,
        recipe=recipe,
        student=partial(Narrow, width=8),
        folder=folder,
        **QUICK,
    )
    return small, net


def test_five_lines_make_a_run_with_its_records(made: Any, tmp_path: Path) -> None:
    small, _ = made
    stages = [record["stage"] for record in small.records]
    assert stages == ["teacher", "distill", "prune", "quantize"]
    teacher = small.records[0]
    assert teacher["cost/train_seconds"] is None or teacher["cost/epochs"] in (None, 0)
    assert teacher["teacher/file/seen_validation"] is True
    assert teacher["test/accuracy"] > 0.9  # the one that was handed over, not an untrained one
    assert small.record["prune/rate"] == 0.5 and small.record["quantize/bits"] == 8
    frame = cz.records(small.folder)
    assert list(frame["stage"]) == stages and frame["test/accuracy"].notna().all()
    assert "test/accuracy" in frame[["stage", "test/accuracy"]].to_latex(escape=False)


def test_the_teacher_is_the_network_that_was_handed_over(made: Any) -> None:
    small, net = made
    model, record = cz.load(small.folder, "teacher", trust=["nets"])
    assert record["stage"] == "teacher"
    images = torch.tensor(IMAGES[:50])[:, None]
    assert torch.equal(model(images), net(images))
    again, _ = cz.load(small.folder, 0, trust=["nets"])
    assert torch.equal(again(images), net(images))
    assert cz.load(small.folder, trust=["nets"]).record["stage"] == "quantize"


def test_a_stored_run_does_not_decide_what_code_runs(made: Any) -> None:
    with pytest.raises(CondenserError, match="--trust nets"):
        cz.load(made[0].folder)
    with pytest.raises(ConfigError, match="stage=cut: must be one of distill, prune"):
        cz.load(made[0].folder, "cut", trust=["nets"])


def test_the_bundle_has_the_file(made: Any, tmp_path: Path) -> None:
    file = made[0].export(tmp_path / "out", measure=False)
    assert file.parent == tmp_path / "out" and file.suffix == ".onnx" and file.stat().st_size
    assert (tmp_path / "out/model.json").is_file()


def test_the_same_lines_again_compute_nothing(made: Any) -> None:
    small, net = made
    again = cz.compress(
        net,
        None,
        cz.data(IMAGES, LABELS),
        recipe=["distill", {"prune": {"rate": 0.5}}, "quantize"],
        student=partial(Narrow, width=8),
        folder=small.folder.parents[1],
        **QUICK,
    )
    assert all(record["cost/reused"] for record in again.records)
    assert [r["key"] for r in again.records] == [r["key"] for r in small.records]


def test_keys_are_those_of_the_command_line(tmp_path: Path) -> None:
    own = {key: value for key, value in QUICK.items() if key != "quantize"}
    small = cz.compress(
        "mlp_64", recipe=[{"prune": {"rate": 0.5}}], folder=tmp_path / "api", prune="lamp", **own
    )
    words = ("recipe=[teacher,{prune:{rate:0.5}}]", "model@teacher.model=mlp_64", "prune=lamp")
    typed = run_in(tmp_path / "typed", *words, "optim.epochs=2", "data.limit=null")
    assert [r["key"] for r in small.records] == [r["key"] for r in typed]


def test_a_dataset_is_its_arrays() -> None:
    pairs = TensorDataset(torch.tensor(IMAGES[:20]), torch.tensor(LABELS[:20]))
    one, other = cz.data(pairs), cz.data(IMAGES[:20], LABELS[:20])
    assert all(np.array_equal(one.arrays[key], other.arrays[key]) for key in other.arrays)
    parts = cz.data(IMAGES[:9], LABELS[:9], test=(IMAGES[9:], LABELS[9:])).arrays
    assert len(parts["train_images"]) == 9 and len(parts["test_labels"]) == len(LABELS) - 9


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"model": "lenet6"}, "did you mean lenet5"),
        ({"model": "mlp_64", "prune": "lampp"}, "did you mean lamp"),
        ({"model": "mlp_64", "optim": {"epoch": 1}}, "optim.epoch: no such key"),
        ({"model": "mlp_64", "optimm": {"epochs": 1}}, "optimm: no such key"),
        ({"model": "mlp_64", "recipe": [{"prune": {"rate": 2}}]}, "prune.rate=2: must be"),
        ({"model": "mlp_64", "data": "digts"}, "did you mean digits"),
        ({"model": type("Local", (torch.nn.Module,), {"__module__": "__main__"})}, "imported"),
        (
            {"model": Narrow, "weights": {}, "data": cz.data(IMAGES, LABELS)},
            "a file with a state_dict",
        ),
    ],
    ids=lambda word: word if isinstance(word, str) else "",
)
def test_mistakes_are_one_line(words: dict[str, Any], said: str, tmp_path: Path) -> None:
    model = words.pop("model")
    weights, data = words.pop("weights", None), words.pop("data", "digits")
    with pytest.raises(CondenserError, match=said) as found:
        cz.compress(model, weights, data, folder=tmp_path, **words)
    assert "\n" not in str(found.value)


def test_importing_loads_no_torch_and_docstrings_are_true() -> None:
    code = "import sys, condenser; print({'torch', 'hydra', 'numpy'} & set(sys.modules))"
    run = [sys.executable, "-c", code]
    out = subprocess.run(run, env={"PYTHONPATH": str(SRC)}, capture_output=True, text=True)
    assert out.stdout == "set()\n"
    assert doctest.testmod(condenser.data.handed_over) == (0, 1)
