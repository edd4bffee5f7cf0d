"""The command line: names of runs, and mistakes answered in a line."""

from __future__ import annotations

import errno
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from omegaconf import DictConfig, OmegaConf
from places import SRC
from running import config_of

from condenser.cli import train as cli
from condenser.config.error_messages import can_be_mended, explain
from condenser.errors import CondenserError

TRAIN = SRC / "train.py"


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
            ["experiment=demo", "name=x", "runs=/a/b", "store=s", "claim=c"],
            "default",
        ),
        (["logger=csv", "logger.project=p", "seed=1"], "seed=1"),
        (["data=mnist", "distill=labels"], "data=mnist,distill=labels"),
        (
            ["model@teacher.model=vgg8", "model@student.model=vgg13"],
            "teacher=vgg8,student=vgg13",
        ),
        (
            ["scope@prune.scope=per_layer", "inherit@distill.inherit=blocks"],
            "prune.scope=per_layer,distill.inherit=blocks",
        ),
        (["~prune.exclude"], "default"),
        (["data.root=/d/e"], "root=d-e"),
        (["data.root=../d"], "root=-d"),
        (["recipe.stages=[teacher,{prune:{rate:0.5}}]"], "recipe=teacher-prune-rate-0.5"),
    ],
    ids=str,
)
def test_a_runs_name_is_what_was_overridden(overrides: list[str], name: str) -> None:
    assert cli.run_name(overrides) == name


DIFFERENT = [
    ["optim.epochs=5"],
    ["teacher.epochs=5"],
    ["student.epochs=5"],
    ["export.threads=1"],
    ["trainer.threads=1"],
    ["prune.exclude=[fc]"],
    ["quantize.exclude=[fc]"],
    ["seed=1"],
    ["teacher.seed=1"],
    ["data.split_seed=1"],
    ["prune.rate=0.5", "prune.epochs=5"],
    ["prune.rate=0.5", "optim.epochs=5"],
    ["optim.epochs=5", "prune.epochs=6"],
    ["optim.epochs=6", "prune.epochs=5"],
    ["prune=filter"],
    ["granularity@prune.granularity=filter"],
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
    monkeypatch.setitem(
        sys.modules, "condenser.pipeline.run", None
    )  # it must not get as far as this
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
        ("distil=kd", "distil: no such key", "did you mean distill?"),
        ("distill=lables", "distill=lables: unknown; ", "did you mean labels?"),
        ("data=minst", "data=minst: unknown; ", "did you mean mnist?"),
        ("model@student.model=lenet", "model=lenet: unknown; ", "did you mean lenet5?"),
        ("model@studnt.model=lenet5", "model@studnt.model: no such role", "model@student.model?"),
        ("prune.rat=0.5", "prune.rat: no such key", "did you mean rate?"),
        ("prun.rate=0.5", "prun: no such key", "did you mean prune?"),
        ("optim.optimizer.momentumm=1", "optim.optimizer.momentumm: no such key", "_target_, "),
        ("prune.rate=1.5", "prune.rate=1.5: must be < 1", ""),
        ("recipe=[teacher,prun]", "recipe.stages[1]=prun: unknown; ", "prune?"),
        ("recipe=[distill]", "recipe.stages[0]=distill: learns from a teacher; ", "before it"),
        ("prune.rate=", "prune.rate=: must be a number", ""),
        ("nonsense", "nonsense: must be key=value", "within quotes"),
        ("prune.exclude=[a,", "prune.exclude=[a,: must be key=value", "within quotes"),
        ("seed=1=2", "seed=1=2: must be key=value", ""),
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


def command(*words: str, folder: Path) -> subprocess.CompletedProcess[str]:
    run = [sys.executable, str(TRAIN), *words]
    return subprocess.run(run, cwd=folder, capture_output=True, text=True, check=False)


def test_hydra_asks_for_the_name_with_the_config_at_hand(tmp_path: Path) -> None:
    words = ["optim.epochs=5", "distill.alpha=0.5", f"runs={tmp_path}", "--cfg"]
    job = command(*words, "job", "--resolve", folder=tmp_path)
    assert "\nrun: optim.epochs=5,alpha=0.5\n" in job.stdout


@pytest.mark.parametrize("word", ["distil=kd", "distill=lables", "distill.temperature=0"])
def test_the_command_answers_a_mistake_and_writes_nothing(tmp_path: Path, word: str) -> None:
    done = command(word, folder=tmp_path)
    assert done.returncode == 1
    assert "Traceback" not in done.stdout + done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith(f"condenser: {word.partition('=')[0]}")
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
    done = command("--help", folder=tmp_path)
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


# --- an answer comes at once: what it would cost is not done

HEAVY = [
    *("torch", "pytorch_lightning", "torchmetrics", "numpy", "pandas", "rich", "wandb"),
    *("optuna", "submitit", "joblib"),
]
WATCHED = """
import atexit, runpy, sys
from hydra._internal.config_loader_impl import ConfigLoaderImpl as Loader
made, compose = [], Loader._load_configuration_impl
Loader._load_configuration_impl = lambda *a, **k: (made.append(a), compose(*a, **k))[1]
atexit.register(lambda: print(len(made), *sorted(set({names}) & set(sys.modules)), file=sys.stderr))
del sys.argv[0]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def watched(script: str, *words: str, typed: str = "") -> tuple[str, str, list[str]]:
    """What a script says on stdout and stderr; how often it composed, and what it imported."""
    code = WATCHED.format(names=[*HEAVY, "pydantic"])
    run = [sys.executable, "-c", code, str(TRAIN.with_name(script)), *words]
    environment = os.environ | {"COMP_LINE": f"python src/train.py {typed}", "PYTHONPATH": str(SRC)}
    done = subprocess.run(run, capture_output=True, text=True, check=False, env=environment)
    *said, last = done.stderr.splitlines()
    return done.stdout, "\n".join(said), last.split()


@pytest.mark.parametrize(
    ("words", "start"),
    [
        (["prune.rate=2"], "condenser: prune.rate=2: must be"),
        (["-m", "prune.rate=2,3"], "condenser: no job was started:"),
        (["distil=kd"], "condenser: distil: no such key"),
        (["-m", "distil=kd"], "condenser: distil: no such key"),
        (["prune.rate=0.1,0.2"], "condenser: the config cannot be composed: Ambiguous"),
    ],
    ids=str,
)
def test_a_mistake_is_found_before_torch_is_imported(words: list[str], start: str) -> None:
    out, said, (made, *imported) = watched("train.py", *words)
    assert out == "" and int(made) <= 3  # hydra composes twice, we once to know the keys
    assert said.startswith(start)
    assert set(imported) <= ({"pydantic"} if "rate=2" in words[-1] else set())


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        ("distill.te", "distill.teachers= distill.temperature="),
        ("distill=kd", "distill=kd distill=kd_at distill=kd_std"),
        ("distill=kd_at prune.ra", "prune.rate="),
    ],
)
def test_completion_composes_once_and_imports_nothing_of_ours(typed: str, found: str) -> None:
    out, _, (made, *imported) = watched("train.py", "-sc", "query=bash", typed=typed)
    assert out == f"{found}\n"
    assert int(made) <= 1
    assert imported == []


@pytest.mark.parametrize(
    "script",
    ["train", "report", "store", "export", "pack", "sensitivity", "dashboard"],
)
def test_the_help_of_every_script_imports_nothing_heavy(script: str) -> None:
    out, said, (made, *imported) = watched(f"{script}.py", "--help")
    assert "--help" in out or "python src/" in out
    assert said == ""
    assert (made, imported) == ("0", [])


def test_a_run_without_a_search_does_without_optuna() -> None:
    code = "import sys, condenser.pipeline.run; print({'torch', 'optuna'} & set(sys.modules))"
    run = [sys.executable, "-c", code]
    done = subprocess.run(
        run, env={"PYTHONPATH": str(TRAIN.parent)}, capture_output=True, text=True
    )
    assert done.stdout == "set()\n", done.stderr


# --- what is composed once is what hydra composes
