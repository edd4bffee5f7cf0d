"""The scripts beside train.py, on a finished run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from running import run_in

from condenser.cli import export, sensitivity
from condenser.errors import ConfigError


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    run_in(folder, "recipe=[teacher,prune]", "optim.epochs=4", "data.limit=1000")
    return folder / "default/test"


def test_sensitivity_of_a_run_says_what_each_layer_can_lose(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert sensitivity.main([str(run), "--rates", "0.2", "0.5", "0.8", "--max-drop", "0.05"]) == 0
    said = capsys.readouterr().out
    assert "5 points lost at" in said and "sensitivity.png" in said
    whole = json.loads((run / "sensitivity.json").read_text())
    assert set(whole["rates"]) == {"fc1", "fc2"}
    assert len(whole["curves"]) == 2 and whole["curves"][0]["rates"][0] == 0
    for name in ("sensitivity.png", "sensitivity.svg", "sensitivity.md"):
        assert (run / name).stat().st_size > 0


def test_its_rates_are_a_scope(run: Path, tmp_path: Path) -> None:
    file = tmp_path / "sensitivity.json"
    file.write_text(json.dumps({"rates": {"fc1": 0.75, "fc2": 0.25}}))
    own = ("recipe=[teacher,prune]", "prune=per_layer", f"prune.scope.rates={file}")
    pruned = run_in(tmp_path, *own)[1]
    assert pruned["gone/fc1"] == 0.75 and pruned["gone/fc2"] == 0.25
    file.write_text(json.dumps({"rates": {"fc1": 0.5}}))
    again = run_in(tmp_path, *own, run="again")[1]
    assert again["key"] != pruned["key"] and again["gone/fc1"] == 0.5


def test_what_is_no_analysis_is_refused(tmp_path: Path) -> None:
    own = (
        "recipe=[teacher,prune]",
        "prune=per_layer",
        f"prune.scope.rates={tmp_path / 'none.json'}",
    )
    with pytest.raises(ConfigError, match=r"none.json: must be rates by layer, or the sens"):
        run_in(tmp_path, *own)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--granularity", "chanels"], "did you mean channels"),
        (["--position", "7"], "--position=7: must be one of 0, 1"),
        (["--rates", "1.5"], "rates=[1.5]: must be numbers above 0 and below 1"),
    ],
)
def test_mistakes_are_one_line(
    run: Path, words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert sensitivity.main([str(run), *words]) == 1
    answer = capsys.readouterr().err
    assert said in answer and answer.count("\n") == 1


def test_export_of_a_run_writes_the_file_that_is_asked_for(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from condenser.deploy import session

    out = tmp_path / "new/small.onnx"
    words = [str(run), "--out", str(out), "--set", "input=uint8", "output=uint8"]
    assert export.main(words) == 0
    assert "small.onnx: " in capsys.readouterr().out
    assert session(out).pixels and session(out).running.grid


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--set", "target=onxx"], "did you mean onnx"),
        (["--set", "targt=onnx"], "did you mean target"),
        (["--set", "target"], "--set=target: must be KEY=VALUE"),
        (["--stage", "5"], "--stage=5: must be a position from 0 to 1"),
    ],
)
def test_mistakes_of_export_are_one_line(
    run: Path, words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert export.main([str(run), *words]) == 1
    answer = capsys.readouterr().err
    assert said in answer and answer.count("\n") == 1
