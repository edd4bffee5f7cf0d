"""The command line: names of runs, and mistakes answered in a line."""

from __future__ import annotations

import errno
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from omegaconf import DictConfig, OmegaConf
from running import config_of

from condenser import cli
from condenser.errors import CondenserError
from condenser.mistakes import can_be_mended, explain

TRAIN = Path(cli.__file__).parents[1] / "train.py"


# --- names of runs


@pytest.mark.parametrize(
    ("overrides", "name"),
    [
        ([], "default"),
        (
            ["distill.temperature=4", "distill.alpha=0.1", "seed=2"],
            "temperature=4,alpha=0.1,seed=2",
        ),
        (["+data.own=1", "++seed=3"], "own=1,seed=3"),
        (
            ["experiment=demo", "name=x", "runs=/a/b", "store=s", "claim=c", "data.root=/d"],
            "default",
        ),
        (["logger=csv", "logger.project=p", "seed=1"], "seed=1"),
        (["data=mnist", "distill=labels"], "data=mnist,distill=labels"),
        (
            ["model@teacher.model=vgg8", "model@student.model=vgg13"],
            "teacher=vgg8,student=vgg13",
        ),
        (["~prune.exclude"], "default"),
        (["recipe.stages=[teacher,{prune:{rate:0.5}}]"], "recipe=teacher-prune-rate-0.5"),
    ],
    ids=str,
)
def test_a_runs_name_is_what_was_overridden(overrides: list[str], name: str) -> None:
    assert cli.run_name(overrides) == name


DIFFERENT = [
    ["optim.epochs=5"],
    ["teacher.optim.epochs=5"],
    ["student.optim.epochs=5"],
    ["export.threads=1"],
    ["trainer.threads=1"],
    ["prune.exclude=[fc]"],
    ["quantize.exclude=[fc]"],
    ["seed=1"],
    ["teacher.seed=1"],
    ["data.split_seed=1"],
    ["prune.rate=0.5", "prune.optim.epochs=5"],
    ["prune.rate=0.5", "optim.epochs=5"],
    ["optim.epochs=5", "prune.optim.epochs=6"],
    ["optim.epochs=6", "prune.optim.epochs=5"],
    ["model@teacher.model=vgg8"],
    ["model@student.model=vgg8"],
    ["recipe.stages=[teacher,{prune:{rate:0.5}}]"],
    ["recipe.stages=[teacher,{prune:{until:0.5}}]"],
    ["distill.bias=1"],
    ["distill.bias=-1"],
]


def test_different_overrides_give_different_folders() -> None:
    """A run replaces the records of its folder: another run's must never be in it."""
    whole = OmegaConf.create(config_of())
    assert isinstance(whole, DictConfig)
    names = [cli.run_name(overrides, whole) for overrides in DIFFERENT]
    assert len(set(names)) == len(names), sorted(names)
    assert cli.run_name(["prune.rate=0.5", "seed=1"], whole) == "prune.rate=0.5,seed=1"


def test_a_name_is_one_folder_of_plain_characters() -> None:
    name = cli.run_name(["data.source.size=32", "prune.exclude=['a/b', \"c d\"]", "claim=a/b"])
    assert re.fullmatch(r"[\w.=,+-]+", name)


def test_long_names_are_cut_and_stay_apart() -> None:
    many = [f"section.setting_number_{i}={i}" for i in range(12)]
    one, other = cli.run_name([*many, "seed=1"]), cli.run_name([*many, "seed=2"])
    assert one != other
    assert len(one) <= 80
    assert one[:40] == other[:40] == "setting_number_0=0,setting_number_1=1,se"
    assert one == cli.run_name([*many, "seed=1"])


@pytest.mark.parametrize(
    ("word", "read"),
    [
        ("recipe=[teacher,distill]", "recipe.stages=[teacher,distill]"),
        ("+recipe=[teacher]", "+recipe.stages=[teacher]"),
        ("recipe=full", "recipe=full"),
        ("recipe.stages=[teacher]", "recipe.stages=[teacher]"),
        ("my.recipe=[1]", "my.recipe=[1]"),
    ],
)
def test_a_list_as_recipe_is_its_stages(word: str, read: str) -> None:
    assert cli.lists_are_stages(word) == read


# --- mistakes


def typed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: str
) -> list[str]:
    """What the command says of these words, a line each, before anything is run."""
    monkeypatch.setattr(sys, "argv", ["train.py", *words])
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    monkeypatch.setitem(sys.modules, "condenser.run", None)  # it must not get as far as this
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    assert stopped.value.code == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert "Traceback" not in err
    return err.splitlines()


@pytest.mark.parametrize(
    ("word", "start", "end"),
    [
        ("distil=kd", "distil: no such key: allowed is one of ", "did you mean 'distill'?"),
        ("distill=lables", "distill=lables: allowed is one of ", "did you mean 'labels'?"),
        ("data=minst", "data=minst: allowed is one of ", "did you mean 'mnist'?"),
        ("model@student.model=lenet", "model=lenet: allowed is one of ", "did you mean 'lenet5'?"),
        ("model@studnt.model=lenet5", "model@studnt.model: no such role", "'model@student.model'?"),
        ("prune.rat=0.5", "prune.rat: no such key: allowed in prune is", "did you mean 'rate'?"),
        ("prun.rate=0.5", "prun: no such key: allowed is one of ", "did you mean 'prune'?"),
        ("optim.optimizer.momentumm=1", "optim.optimizer.momentumm: no such key", "_target_, "),
        ("prune.rate=1.5", "prune.rate=1.5: allowed is a number below 1", ""),
        ("recipe=[teacher,prun]", "recipe.stages[1]=prun: allowed is one of ", "'prune'?"),
        ("recipe=[distill]", "recipe.stages[0]=distill: learns from a teacher; ", "before it"),
        ("prune.rate=", "prune.rate=: allowed is a number", ""),
        ("nonsense", "nonsense: allowed is key=value", "within quotes"),
        ("prune.exclude=[a,", "prune.exclude=[a,: allowed is key=value", "within quotes"),
        ("seed=1=2", "seed=1=2: allowed is key=value", ""),
        ("data.root=${nowhere}", "the config cannot be composed", "'nowhere' not found"),
    ],
)
def test_a_mistake_is_answered_in_one_line(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    word: str,
    start: str,
    end: str,
) -> None:
    (line,) = typed(monkeypatch, capsys, word)
    assert line.startswith(f"condenser: {start}")
    assert end in line


def test_several_bad_values_take_a_line_each(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = typed(monkeypatch, capsys, "prune.rate=1.5", "distill.temperature=0", "seed=-1")
    assert len(lines) >= 3
    assert {"distill.temperature=0", "prune.rate=1.5"} <= {
        line.removeprefix("condenser: ").split(":")[0] for line in lines
    }


def command(*words: str, folder: Path) -> tuple[subprocess.CompletedProcess[str], float]:
    started = time.perf_counter()
    run = [sys.executable, str(TRAIN), *words]
    done = subprocess.run(run, cwd=folder, capture_output=True, text=True, check=False)
    return done, time.perf_counter() - started


def test_hydra_asks_for_the_name_with_the_config_at_hand(tmp_path: Path) -> None:
    words = ["optim.epochs=5", "distill.alpha=0.5", f"runs={tmp_path}", "--cfg"]
    job, _ = command(*words, "job", "--resolve", folder=tmp_path)
    assert "\nrun: optim.epochs=5,alpha=0.5\n" in job.stdout


@pytest.mark.parametrize("word", ["distil=kd", "distill=lables", "distill.temperature=0"])
def test_the_command_answers_a_mistake_at_once(tmp_path: Path, word: str) -> None:
    done, seconds = command(word, folder=tmp_path)
    assert done.returncode == 1
    assert "Traceback" not in done.stdout + done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith(f"condenser: {word.partition('=')[0]}")
    assert seconds < 5
    assert not list(tmp_path.rglob("*.jsonl"))


@pytest.mark.parametrize("text", ["name: x\n", "defaults:\n  - override /data: mnist\n"])
def test_an_experiment_that_lacks_its_first_line_is_told_so(
    tmp_path: Path,
    text: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment/mine.yaml").write_text(text)
    (line,) = typed(monkeypatch, capsys, "--config-dir", str(tmp_path), "experiment=mine")
    assert line.startswith(
        "condenser: conf/experiment: a file there begins with '# @package _global_'"
    )


def test_help_is_a_page_with_every_group(tmp_path: Path) -> None:
    done, _ = command("--help", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Condenser: ")
    for group in ("data", "model", "distill", "prune", "quantize", "recipe", "experiment"):
        assert re.search(rf"^\s*{group}: ", done.stdout, re.MULTILINE), group
    assert "$" not in done.stdout.replace("$WANDB", "")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.ENOSPC, "no room", "a"), r"a: .*; make room, then give the same command"),
        (PermissionError(errno.EACCES, "no right", "a"), r"a: .*; runs=FOLDER and store=FOLDER"),
        (Exception("I/O error: No space left on device (os error 28)"), "is the disk full.*room"),
        (RuntimeError("[enforce fail at inline_container.cc:664] . unexpected pos 9"), "full"),
    ],
)
def test_a_full_or_closed_disk_is_told_from_other_faults(error: Exception, said: str) -> None:
    outer = RuntimeError("a stage failed")
    outer.__cause__ = error
    assert can_be_mended(outer) and re.search(said, explain(outer))
    assert not can_be_mended(RuntimeError("a stage failed"))


def test_errors_of_ours_are_explained_as_they_stand() -> None:
    assert explain(CondenserError("a\nb")) == "a\nb"
