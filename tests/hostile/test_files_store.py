"""Damaged files of a store and of a training that was killed: nothing of them is used.

A run says so in a line, puts the damaged thing aside and makes it anew; a script says in a line
what to type.
"""

from __future__ import annotations

import json
import pickle
import re
import shutil
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from running import run_in

from condenser.cli import export, pack, sensitivity
from condenser.data import DataModule, digits
from condenser.errors import CondenserError, DamagedError
from condenser.models import MLP
from condenser.store import StageDir, Store, key_of
from condenser.training.fit import Fit, fit
from condenser.training.plan import Plan
from condenser.training.resume import Resume
from condenser.training.student import Student
from condenser.training.teacher_cache import Manifest, load_or_make

INGREDIENTS = {"stage": "prune", "rate": 0.5}
KEY = key_of(INGREDIENTS)
CONTENT = {
    "weights.safetensors": bytes(range(256)),
    "model.json": b'{"format": 1}',
    "test_logits.safetensors": bytes(99),
    "model.onnx": b"graph " * 20,
}
OTHERS = ("record.json", "ingredients.json", "SHA256SUMS")


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def empty(path: Path) -> None:
    path.write_bytes(b"")


def gone(path: Path) -> None:
    path.unlink()


def folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def other(path: Path) -> None:
    path.write_text('{"val/accuracy": 0.99}')


def pickled(path: Path) -> None:
    path.write_bytes(pickle.dumps({"state_dict": {}}))


def link(path: Path) -> None:
    path.rename(path.with_name("moved"))
    path.symlink_to("/dev/null")


DAMAGE = {d.__name__: d for d in (cut, flip, empty, gone, folder, other, link)}


# --- entries


def make(place: StageDir) -> Mapping[str, Any]:
    for name, content in CONTENT.items():
        (place.folder / name).write_bytes(content)
    return {"val/accuracy": 0.25}


@pytest.mark.parametrize("name", [*CONTENT, *OTHERS])
@pytest.mark.parametrize("kind", DAMAGE)
def test_an_entry_with_a_damaged_file_is_put_aside(name: str, kind: str, tmp_path: Path) -> None:
    entry, _ = Store(tmp_path).get_or_make("prune", KEY, make, INGREDIENTS)
    DAMAGE[kind](entry.file(name) if name != "SHA256SUMS" else entry.folder / name)
    kept = sorted(path.name for path in entry.folder.iterdir())
    told = list[str]()
    store = Store(tmp_path, warn=told.append)
    assert store.get("prune", KEY) is None
    if name != "SHA256SUMS":
        with pytest.raises(DamagedError) as raised:
            entry.file(name)
        said = rf"{re.escape(str(entry.folder))}: {name} (altered|missing); the next run that "
        assert re.fullmatch(said + "wants it makes it anew", str(raised.value))
    again, reused = store.get_or_make("prune", KEY, make, INGREDIENTS)
    assert not reused and again.metrics == {"val/accuracy": 0.25}
    (aside,) = tmp_path.glob(".damaged-*")
    assert sorted(path.name for path in aside.iterdir()) == kept
    what = r"\S+" if name == "SHA256SUMS" and kind == "flip" else name  # of one file it is the sum
    start = rf"{re.escape(str(entry.folder))}: {what} (altered|missing)"
    (line,) = told
    assert re.fullmatch(f"{start}; it is put aside as {aside.name}, and made anew", line)


def test_an_entry_under_another_name_is_not_that_one(tmp_path: Path) -> None:
    entry, _ = Store(tmp_path).get_or_make("prune", KEY, make, INGREDIENTS)
    entry.folder.rename(tmp_path / "prune-0123456789abcdef")
    told = list[str]()
    Store(tmp_path, warn=told.append).get_or_make("prune", "0123456789abcdef", make)
    assert told[0].startswith(f"{tmp_path}/prune-0123456789abcdef: its name is not the key of what")


def test_what_cannot_be_put_aside_is_told_and_made_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:

    theirs = tmp_path / "theirs"
    entry, _ = Store(theirs).get_or_make("prune", KEY, make, INGREDIENTS)
    flip(entry.file("model.json"))
    monkeypatch.setattr("condenser.store.storage.writable", lambda root: root != theirs)
    told = list[str]()
    store = Store(theirs, tmp_path / "mine/.store", told.append)
    for _ in range(2):
        assert store.get_or_make("prune", KEY, make)[0].folder.parent == tmp_path / "mine/.store"
    assert told[1:] == [f"{entry.folder}: model.json altered; it is not used, and made anew"]


# --- runs and scripts

COMMAND = "python src/train.py recipe=[teacher,export]"


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """runs/ with a teacher and its file."""
    runs = tmp_path_factory.mktemp("whole") / "runs"
    run_in(runs, "recipe=[teacher,export]", "data.limit=300", "export.batch=2")
    return runs


@pytest.fixture
def runs(finished: Path, tmp_path: Path) -> Path:
    shutil.copytree(finished, tmp_path / "runs")
    file = tmp_path / "runs/default/test/records.jsonl"
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    for line in lines:
        line["lineage"]["command"] = COMMAND
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    config = tmp_path / "runs/default/test/config.yaml"
    config.write_text(config.read_text().replace(str(finished), str(tmp_path / "runs")))
    return tmp_path / "runs"


def entry_of(runs: Path, stage: str) -> Path:
    (found,) = (path for path in (runs / ".store").glob(f"{stage}-*") if path.is_dir())
    return found


SCRIPTS: dict[str, Callable[[list[str]], int]] = {
    "pack": lambda words: pack.main([*words, "--position", "0"]),
    "sensitivity": lambda words: sensitivity.main([*words, "--rates", "0.5"]),
    "export": export.main,
}


@pytest.mark.parametrize("name", ["weights.safetensors", "model.json", "record.json", "SHA256SUMS"])
@pytest.mark.parametrize("script", SCRIPTS)
def test_a_script_says_what_to_type(
    script: str, name: str, runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    teacher = entry_of(runs, "teacher")
    (cut if name == "SHA256SUMS" else flip)(teacher / name)
    before = sorted(runs.rglob("*"))
    assert SCRIPTS[script]([str(runs / "default/test")]) == 1
    assert capsys.readouterr().err == (
        f"{script}: {teacher}: {name} altered; to make it anew: {COMMAND} runs={runs}\n"
    )
    assert sorted(runs.rglob("*")) == before


@pytest.mark.parametrize("script", ["pack", "sensitivity"])
def test_an_old_entry_or_none_is_not_used_by_a_script(
    script: str, runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    teacher = entry_of(runs, "teacher")
    (teacher / "SHA256SUMS").unlink()
    end = f"; to make it anew: {COMMAND} runs={runs}\n"
    assert SCRIPTS[script]([str(runs / "default/test")]) == 1
    assert capsys.readouterr().err == f"{script}: {teacher}: SHA256SUMS missing{end}"
    shutil.rmtree(teacher)
    assert SCRIPTS[script]([str(runs / "default/test")]) == 1
    assert capsys.readouterr().err == f"{script}: {teacher}: it is not there{end}"


def test_a_changed_deployed_file_is_not_exported(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = entry_of(runs, "export") / "model.onnx"
    whole = file.read_bytes()
    flip(file)
    out = tmp_path / "out.onnx"
    assert export.main([str(runs / "default/test"), "--out", str(out)]) == 0
    assert out.read_bytes() == whole
    said = capsys.readouterr().out
    assert f"warning: {file.parent}: model.onnx altered; it is put aside as .damaged-export" in said


def test_an_edited_record_does_not_pass_the_gate(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    teacher = entry_of(runs, "teacher")
    metrics = json.loads((teacher / "record.json").read_text())
    (teacher / "record.json").write_text(json.dumps(metrics | {"val/accuracy": 0.99}))
    words = ("recipe=[teacher,distill]", "data.limit=300", "teacher.min_accuracy=0.98")
    with pytest.raises(
        CondenserError, match=f"reaches {metrics['val/accuracy']:.4f} on validation"
    ):
        run_in(runs, *words)
    assert f"{teacher}: record.json altered; it is put aside" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["weights.safetensors", "model.json"])
@pytest.mark.parametrize("kind", ["cut", "flip", "empty", "gone"])
def test_a_damaged_teacher_is_not_loaded(name: str, kind: str, runs: Path) -> None:
    teacher = entry_of(runs, "teacher")
    load = f"teacher.load={teacher}"
    DAMAGE[kind](teacher / name)
    with pytest.raises(CondenserError) as raised:
        run_in(runs, "recipe=[teacher,distill]", load, "data.limit=300", run="loads")
    said = str(raised.value)
    assert "\n" not in said and str(teacher) in said
    assert name in said or (name == "model.json" and kind == "gone")


def test_a_model_alone_is_loaded(runs: Path, tmp_path: Path) -> None:
    """What pack.py unpacks has no record; its model.json holds the hash of its weights."""
    alone = tmp_path / "alone"
    alone.mkdir()
    for name in ("model.json", "weights.safetensors"):
        shutil.copy(entry_of(runs, "teacher") / name, alone)
    words = ("recipe=[teacher]", f"teacher.load={alone}", "data.limit=300")
    (record,) = run_in(runs, *words, run="loads")
    first = json.loads((entry_of(runs, "export") / "record.json").read_text())
    assert record["test/accuracy"] == first["test/accuracy"]


# --- checkpoints


class Killed(Exception):
    """What stands for the end of the process."""


class KillAfter(Resume):
    def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
        if trainer.current_epoch > 1:
            raise Killed


def trained(resume: Resume, width: int = 12) -> Fit:
    torch.manual_seed(3)
    data = DataModule("digits", digits, batch_size=100, limit=200, seed=3)
    optimizer = partial(torch.optim.SGD, momentum=0.9)
    plan = Plan(optimizer, lr=0.05, epochs=3, batch_size=100)
    trainer = {"accelerator": "cpu", "devices": 1, "deterministic": True}
    return fit(Student(MLP((1, 8, 8), 10, widths=[width]), plan, data), trainer, resume=resume)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Fit:
    return trained(Resume(tmp_path_factory.mktemp("whole") / "a.ckpt", every=1000))


def without_seal(path: Path) -> None:
    """As torch writes it, and as older versions kept it."""
    path.write_bytes(path.read_bytes()[:-81])


def of_another(path: Path) -> None:
    """Whole, but of another training: other weights under this key."""
    another = path.with_name(".teacher-00.ckpt")
    torch.manual_seed(9)
    with pytest.raises(Killed):
        trained(KillAfter(another, every=0), width=12)
    another.replace(path)


SPOILT = [cut, flip, empty, folder, other, pickled, link, without_seal, of_another]


@pytest.mark.parametrize("spoil", SPOILT, ids=lambda s: s.__name__)
def test_a_damaged_checkpoint_is_put_aside(
    spoil: Callable[[Path], None], undisturbed: Fit, tmp_path: Path
) -> None:
    path, told = tmp_path / ".teacher-01.ckpt", list[str]()
    with pytest.raises(Killed):
        trained(KillAfter(path, every=0))
    spoil(path)
    again = trained(Resume(path, 1000, told.append))
    for name, tensor in undisturbed.last.items():
        assert torch.equal(tensor, again.last[name]), name
    (aside,) = tmp_path.glob(".damaged-*")
    assert told == [f"{path} is damaged; it is put aside as {aside.name}, and training starts anew"]


def test_a_whole_checkpoint_is_used_and_leaves_no_draft(tmp_path: Path) -> None:
    path, told = tmp_path / ".teacher-01.ckpt", list[str]()
    with pytest.raises(Killed):
        trained(KillAfter(path, every=0))
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
    resume = Resume(path, 1000, told.append)
    assert resume.left() == path and not told
    trained(resume)


def test_a_checkpoint_that_finds_no_room_leaves_the_last_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from condenser.training import resume

    path, whole = tmp_path / ".teacher-01.ckpt", list[bytes]()

    def full(file: Path, name: str) -> None:
        if whole:
            raise OSError(28, "No space left on device")
        seal(file, name)
        whole.append(file.read_bytes())

    seal = resume.seal
    monkeypatch.setattr(resume, "seal", full)
    with pytest.raises(OSError, match="No space left"):
        trained(Resume(path, every=0))
    assert path.read_bytes() == whole[0]
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


# --- a teacher's outputs

MANIFEST = Manifest("t" * 64, "d" * 16, None, 1, 5, 3, "float32", {}, {})


def number(arrays: Mapping[str, np.ndarray]) -> None:
    for array in arrays.values():
        array[:] = 7


@pytest.mark.parametrize("name", ["manifest.json", "logits.npy"])
@pytest.mark.parametrize("kind", DAMAGE)
def test_damaged_outputs_are_put_aside(name: str, kind: str, tmp_path: Path) -> None:
    place, told = tmp_path / "outputs-0123456789abcdef", list[str]()
    load_or_make(place, MANIFEST, number, told.append)
    load_or_make(place, MANIFEST, number, told.append)
    assert told == []
    DAMAGE[kind](place / name)
    found = load_or_make(place, MANIFEST, number, told.append)
    assert found.arrays["logits"].eq(7).all()
    (aside,) = tmp_path.glob(".damaged-outputs-*")
    (line,) = told
    assert line.startswith(str(place)) and "\n" not in line
    assert line.endswith(f"; it is put aside as {aside.name}, and made anew")


def test_damaged_outputs_in_a_folder_that_was_named_stay(tmp_path: Path) -> None:
    place = tmp_path / "mine"
    load_or_make(place, MANIFEST, number)
    flip(place / "logits.npy")
    with pytest.raises(DamagedError, match="logits.npy is damaged"):
        load_or_make(place, MANIFEST, number)
    assert sorted(path.name for path in tmp_path.glob("[!.]*")) == ["mine", "mine.lock"]
