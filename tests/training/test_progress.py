"""A run says where it is: a line an epoch; and debug=fast has one of them a stage."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace

import pytest
from running import config_of, run_in

from condenser.config.error_messages import options
from condenser.pipeline.console import Console
from condenser.pipeline.plan import make_plan
from condenser.training.progress import Progress, clock


def test_what_is_piped_has_a_line_an_epoch(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_in(tmp_path, "recipe.stages=[teacher,distill]", "optim.epochs=3", "data.limit=100")
    lines = [line for line in capsys.readouterr().out.splitlines() if re.match(r"\w+ \d/", line)]
    assert [line.split()[:2] for line in lines] == [
        [stage, f"{epoch}/3"] for stage in ("teacher", "distill") for epoch in (1, 2, 3)
    ]
    form = r"\w+ \d/3 loss [\d.]+ val [\d.]+ % [\d.]+ s( left \d+:\d\d)?"
    assert all(re.fullmatch(form, line) for line in lines), lines
    assert ["left" in line for line in lines] == [True, True, False] * 2


def test_false_is_quiet(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_in(tmp_path, "recipe.stages=[teacher]", "data.limit=100", "trainer.progress=false")
    assert "1/1" not in capsys.readouterr().out


def test_what_is_left_is_what_the_last_epochs_took() -> None:
    said: list[str] = []
    progress = Progress("prune", lambda text, over: said.append(text))
    trainer = SimpleNamespace(current_epoch=3, max_epochs=20)
    progress.took.extend([10, 2, 4, 4, 4, 6])
    assert progress.left(trainer, over=1) == "left 1:04"  # 16 epochs of (2+4+4+4+6)/5 s
    progress.epoch_over(trainer, 0.4123, None)
    assert said[0].startswith("prune 4/20 loss 0.4123 ") and "val" not in said[0]
    assert [clock(s) for s in (4.4, 70, 7205)] == ["0:04", "1:10", "2:00:05"]


def test_a_terminals_line_is_drawn_over(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    say = Console(tmp_path)
    assert say.terminal
    say.epoch("prune 1/2", False)
    say.epoch("prune 2/2", True)
    say.line("done")
    out = capsys.readouterr().out
    assert out.count("\n") == 1 and out.endswith("\x1b[2Kdone\n")


@pytest.mark.parametrize("experiment", options("experiment"))
def test_fast_is_one_epoch_of_every_stage(experiment: str) -> None:
    config = config_of(f"experiment={experiment}", "debug=fast", "logger=csv")
    trained = [s for s in make_plan(config).stages if "optim" in s.settings]
    assert trained
    for stage in trained:
        after = str(stage.settings.get("_target_")).endswith("PostTraining")
        assert stage.settings["optim"]["epochs"] == (0 if after else 1), stage.word
    assert config["optim"]["epochs"] == 1 and config["budget"]["epochs"] == 1
    assert config_of("debug=fast", "prune.epochs=3")["prune"]["epochs"] == 3
