"""``make gpu`` at tiny sizes on the CPU: its steps, and that it goes on where it was."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT / "bench"))
    sys.modules.pop("gpu", None)
    return __import__("gpu")


@pytest.fixture
def go(gpu: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """The script on the CPU; its runs leave the records of networks of equal accuracy."""

    def train(words: list[str], options: Any, until: float) -> int | None:
        asked.append(words)
        if "name=gpu_right" not in words:
            return answers.pop(0) if answers else 0
        run = next(word for word in words if word.startswith("run="))[4:]
        kept = next((ROOT / "experiments").glob("*/records.jsonl")).read_text().splitlines()[0]
        record = json.loads(kept)
        record["results"]["test/accuracy"] = accuracy.get(run.partition("-")[0], 0.9)
        folder = tmp_path / "gpu_right" / run
        folder.mkdir(parents=True)
        (folder / "records.jsonl").write_text(json.dumps(record) + "\n")
        return 0

    asked: list[list[str]] = []
    answers: list[int | None] = []
    accuracy: dict[str, float] = {}
    monkeypatch.setattr(gpu, "train", train)
    where = ["--device", "cpu", "--tiny", "--runs", str(tmp_path), "--out", f"{tmp_path}/gpu.json"]

    def run(*words: str) -> int:
        asked.clear()
        return int(gpu.main([*where, *words]))

    run.asked, run.answers, run.accuracy = asked, answers, accuracy  # type: ignore[attr-defined]
    return run


def test_it_goes_on_where_the_time_was_over(go: Any, tmp_path: Path) -> None:
    go.answers[:] = [0, None]  # the second line of the queue is not ready in time
    assert go() == 0
    found = json.loads((tmp_path / "gpu.json").read_text())
    assert found["step"]["ours"] > 0 < found["step"]["field"] and found["step"]["resident"]
    done = [key for key in found if key.startswith("queue/")]
    assert len(done) == 1 and "name=gpu_demo" in done[0] and found[done[0]] == "done"
    first = len(go.asked)
    assert go() == 0 and 0 < len(go.asked) < first
    assert not [words for words in go.asked if "name=gpu_right" in words]
    again = json.loads((tmp_path / "gpu.json").read_text())
    assert again["step"] == found["step"] and len([k for k in again if k.startswith("queue/")]) == 2


def test_another_accuracy_than_the_cpus_ends_it(go: Any, tmp_path: Path) -> None:
    go.accuracy["bf16"] = 0.7
    assert go() == 1
    assert "step" not in json.loads((tmp_path / "gpu.json").read_text())


def test_the_queue_is_read_in_its_order(gpu: ModuleType) -> None:
    lines = list(gpu.waiting(gpu.QUEUE))
    assert all(line.startswith("experiment=") for line in lines)
    assert "name=gpu_demo" in lines[0] and lines[-1].endswith("seed=2")
    assert gpu.alike([0.90, 0.92, 0.91], [0.905, 0.9, 0.93]) and not gpu.alike([0.9], [0.85])
