"""The whole of it on digits: what a run leaves behind, and what it finds again."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from places import SRC
from running import QUICK, run_in
from safetensors.torch import load_file

from condenser.checkpoint.model_spec import load
from condenser.errors import CondenserError
from condenser.files import sha256
from condenser.runs.records import REQUIRED, Record, read

RECIPE = "recipe=[teacher,student,distill,{prune:{rate:0.5}},{prune:{rate:0.8}},quantize,export]"
TRAIN = SRC / "train.py"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def records(folder: Path) -> list[Record]:
    return run_in(folder, RECIPE)


def entry(folder: Path, record: Record) -> Path:
    return folder / ".store" / f"{record['stage']}-{record['key']}"


def test_every_stage_leaves_a_complete_record(folder: Path, records: list[Record]) -> None:
    words = ["teacher", "student", "distill", "prune", "prune", "quantize", "export"]
    assert [r["stage"] for r in records] == words
    assert [r["position"] for r in records] == list(range(7))
    assert read([folder]) == records
    null_by_nature = {
        "teacher": {"parent", "teacher", "teacher/accuracy", "teacher/agreement"},
        "student": {"parent"},
        "distill": {"parent"},
        "quantize": {"latency/ms_b1", "latency/iqr_b1", "latency/threads"},
    }
    training = {"cost/train_seconds", "cost/epochs", "cost/best_epoch", "cost/samples_per_second"}
    for record in records:
        allowed = null_by_nature.get(str(record["stage"]), set()) | {"command", "commit", "code"}
        if record["stage"] in ("quantize", "export"):
            allowed |= training
        assert {key for key in REQUIRED if record[key] is None} <= allowed


def test_the_curves_validation_accuracy_is_the_records(folder: Path, records: list[Record]) -> None:
    checked = []
    for record in records:
        found = list(folder.glob(f"*/*/{record['position']}-{record['stage']}/metrics.csv"))
        if not found:
            continue  # nothing was trained
        lines = csv.DictReader(found[0].open(newline=""))
        curve = [float(value) for line in lines if (value := line.get("val/accuracy"))]
        if curve:
            checked.append(record["stage"])
            assert curve[-1] == pytest.approx(record["val/accuracy_last"], abs=1e-6)
            assert max(curve) == pytest.approx(record["val/accuracy"], abs=1e-6)
    assert checked == ["teacher", "student", "distill", "prune", "prune"]


def test_lineage_leads_from_each_model_to_the_one_it_came_from(records: list[Record]) -> None:
    teacher, student, distill, half, fifth, quantized, exported = records
    assert (student["parent"], distill["parent"]) == (None, None)
    chain = [distill, half, fifth, quantized, exported]
    for before, after in pairwise(chain):
        assert after["parent"] == before["key"]
    assert all(record["teacher"] == teacher["key"] for record in records[1:])
    assert exported["distill/temperature"] == 4.0
    assert exported["prune/rate"] == 0.8


def test_claims_are_what_the_weights_say(folder: Path, records: list[Record]) -> None:
    for record, rate in ((records[3], 0.5), (records[4], 0.8)):
        state = load(entry(folder, record))[1].state_dict()
        weights = [value for name, value in state.items() if name.endswith(".weight")]
        zeros = sum(int((w == 0).sum()) for w in weights) / sum(w.numel() for w in weights)
        assert zeros == pytest.approx(rate, abs=1e-3)
        assert record["prune/achieved"] == pytest.approx(zeros)
    earlier, later = (load(entry(folder, r))[1].state_dict() for r in records[3:5])
    for name, weight in earlier.items():
        assert not later[name][weight == 0].any() or not name.endswith(".weight")
    quantized = load(entry(folder, records[5]))[1].state_dict()
    for name, weight in quantized.items():
        if name.endswith(".weight"):
            assert max(len(torch.unique(row)) for row in weight.flatten(1)) <= 255
    stored = load_file(entry(folder, records[5]) / "weights.safetensors")
    assert {stored[n].dtype for n in stored if n.endswith(".weight")} == {torch.int8}
    size = sum(p.stat().st_size for p in entry(folder, records[5]).glob("[mw]*.*s*"))
    assert records[5]["size/file_bytes"] == size


def test_the_deployed_file_is_what_was_measured(folder: Path, records: list[Record]) -> None:
    file = entry(folder, records[6]) / "model.onnx"
    assert records[6]["size/file_bytes"] == file.stat().st_size
    assert records[6]["latency/runtime"] == "onnxruntime cpu"
    assert 0.95 <= float(records[6]["export/agreement"] or 0) <= 1


def test_pruned_and_quantised_files_shrink(records: list[Record]) -> None:
    sizes = [int(r["size/file_bytes"] or 0) for r in records[2:6]]
    assert sizes == sorted(sizes, reverse=True)
    assert len(set(sizes)) == 4


def test_the_same_again_is_found_in_the_store(folder: Path, records: list[Record]) -> None:
    again = run_in(folder, RECIPE)
    assert all(record["cost/reused"] for record in again)
    assert [r["key"] for r in again] == [r["key"] for r in records]


def test_another_temperature_retrains_the_student_and_not_the_teacher(
    folder: Path, records: list[Record]
) -> None:
    other = run_in(folder, RECIPE, "distill.temperature=2", run="other")
    assert [r["cost/reused"] for r in other] == [True, True] + [False] * 5
    assert other[0]["key"] == records[0]["key"]


def test_the_same_config_gives_the_same_weights_bit_for_bit(
    folder: Path, records: list[Record], tmp_path: Path
) -> None:
    again = run_in(tmp_path, RECIPE)
    assert not any(record["cost/reused"] for record in again)
    for first, second in zip(records, again, strict=True):
        ours, theirs = entry(folder, first), entry(tmp_path, second)
        assert sha256(ours / "weights.safetensors") == sha256(theirs / "weights.safetensors")
        for key in ("val/accuracy", "test/accuracy", "test/nll", "size/file_bytes"):
            assert first[key] == second[key]


def test_another_seed_gives_other_weights_in_the_same_group(
    folder: Path, records: list[Record]
) -> None:
    other = run_in(folder, "recipe=[teacher,student,distill]", "seed=1", run="seed")
    for first, second in zip(records, other, strict=False):
        assert first["group"] == second["group"]
        assert first["key"] != second["key"]
        assert first["test/nll"] != second["test/nll"]


def test_a_damaged_entry_is_made_anew_bit_for_bit(tmp_path: Path) -> None:
    (teacher,) = run_in(tmp_path, "recipe=[teacher]")
    file = entry(tmp_path, teacher) / "weights.safetensors"
    whole = file.read_bytes()
    file.write_bytes(whole[:-5] + bytes([whole[-5] ^ 1]) + whole[-4:])
    again = run_in(tmp_path, "recipe=[teacher,distill]")[0]
    assert not again["cost/reused"] and file.read_bytes() == whole


def test_a_teacher_below_the_gate_teaches_nobody(tmp_path: Path) -> None:
    with pytest.raises(CondenserError, match=r"teacher mlp_128 .*teacher\.min_accuracy=0\.999"):
        run_in(tmp_path, "recipe=[teacher,distill]", "teacher.min_accuracy=0.999")
    assert [r["stage"] for r in read([tmp_path])] == ["teacher"]


def test_a_student_bigger_than_its_teacher_is_pointed_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_in(tmp_path, "recipe=[teacher,distill]", "model@student.model=lenet_300_100")
    assert "lenet_300_100 has 50,610 parameters, more than its teacher" in capsys.readouterr().out


def test_pruning_a_lone_network_learns_from_labels(tmp_path: Path) -> None:
    teacherless = run_in(tmp_path, "recipe=[student,prune]")
    assert teacherless[1]["teacher"] is None
    assert "distill/temperature" not in teacherless[1]


def test_an_objective_from_outside_the_package_teaches_as_its_page_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = (TRAIN.parents[1] / "docs/how-to/objective.md").read_text()
    (tmp_path / "mine.py").write_text(page.partition("```python\n")[2].partition("```")[0])
    monkeypatch.syspath_prepend(tmp_path)
    own = ("distill=labels", "distill._target_=mine.Mimic", "+distill.beta=2")
    *_, distilled = run_in(tmp_path, "recipe=distill", *own)
    assert (distilled["distill/method"], distilled["distill/beta"]) == ("Mimic", 2)
    curve = (tmp_path / "default" / "test" / "2-distill" / "metrics.csv").read_text().splitlines()
    row = dict(zip(*(line.split(",") for line in curve[:2]), strict=True))
    whole = float(row["train/hard"]) + 2 * float(row["train/soft"])
    assert float(row["train/loss"]) == pytest.approx(whole, rel=1e-5)


@pytest.mark.slow
def test_a_sweep_is_a_run_each_and_one_teacher(tmp_path: Path) -> None:
    axes = ["distill.temperature=1,4", "distill.alpha=0.1,0.5", "prune.rate=0.3,0.6"]
    recipe = "recipe=[teacher,distill,prune]"
    quick = [
        q for q in QUICK if q != "logger=csv"
    ]  # eight processes would import torch eight times
    words = ["-m", "hydra/launcher=basic", *quick, "logger=wandb", recipe, *axes]
    done = subprocess.run(
        [sys.executable, str(TRAIN), *words],
        cwd=tmp_path,
        env={**os.environ, "WANDB_MODE": "offline"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    runs = [path for path in (tmp_path / "runs" / "default").iterdir() if path.is_dir()]
    assert len(runs) == 8
    assert len(list((tmp_path / "runs").rglob("*.wandb"))) == 8
    assert len(list((tmp_path / "runs" / ".store").glob("teacher-*/"))) == 1
    found = read([tmp_path / "runs"])
    settings = {
        (r["distill/temperature"], r["distill/alpha"], r["prune/rate"])
        for r in found
        if r["stage"] == "prune"
    }
    assert len(settings) == 8
    assert len({json.dumps(r["command"]) for r in found}) == 8


def test_a_student_is_compared_with_its_teacher(records: list[Record]) -> None:
    """Agreement, divergence, features, and the class that pays."""
    student, distilled = records[1:3]
    for record in (student, distilled):
        assert 0 < record["teacher/agreement"] <= 1  # type: ignore[operator]
        assert record["teacher/kl"] >= 0  # type: ignore[operator]
        assert record["teacher/worst_class"] in set("0123456789")
        drops = [records[0][f"class/{c}"] - record[f"class/{c}"] for c in range(10)]  # type: ignore[operator]
        assert record["teacher/worst_drop"] == max(drops)
    assert 0 < distilled["cka/teacher"] <= 1  # type: ignore[operator]
    assert "cka/teacher" not in student  # it learnt from labels


def test_layers_of_ones_own_choice_are_compared(tmp_path: Path) -> None:
    chosen = "teacher.cka={student:[fc1,fc2],teacher:[fc1,fc2]}"
    distilled = run_in(tmp_path, "recipe=[teacher,distill]", chosen)[1]
    assert distilled["cka/teacher"] == distilled["cka/fc2~fc2"] != distilled["cka/fc1~fc1"]
