"""The wheel: built, installed and run from a folder that has nothing to do with the clone."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from places import ROOT

from condenser.cli import COMMANDS

NET = """
from torch import nn

class Net(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Flatten(), nn.Linear(64, 8), nn.ReLU(), nn.Linear(8, 10))
"""
QUICK = ("debug=fast", "trainer.threads=1", "optim.epochs=1")


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the installed package; its requirements are those of the tests."""
    clone, target = (tmp_path_factory.mktemp(name) for name in ("clone", "target"))
    for name in ("src", "conf"):
        shutil.copytree(ROOT / name, clone / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "setup.py", "README.md", "requirements-run.txt"):
        shutil.copy(ROOT / name, clone)
    pip = (sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index")
    subprocess.run([*pip, "--no-build-isolation", "--target", target, clone], check=True)
    return target


def condenser(
    installed: Path, folder: Path, *words: str, path: str = ""
) -> subprocess.CompletedProcess[str]:
    """``condenser WORDS``, run in ``folder``."""
    own = os.pathsep.join(filter(None, (str(installed), path)))
    command = [sys.executable, "-P", str(installed / "bin/condenser"), *words]
    environment = os.environ | {"PYTHONPATH": own}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


def test_every_command_says_what_it_takes(installed: Path, tmp_path: Path) -> None:
    page = condenser(installed, tmp_path, "--help").stdout
    assert all(f"condenser {name} " in page for name in COMMANDS)
    for name in ("train", "store"):
        page = condenser(installed, tmp_path, name, "--help").stdout
        assert f"condenser {name}" in page and "src/" not in page
    wrong = condenser(installed, tmp_path, "trian")
    assert (wrong.returncode, wrong.stderr.partition(" (")[0]) == (
        2,
        "condenser: trian: unknown; did you mean train?",
    )


@pytest.mark.slow
def test_a_run_its_sweep_and_its_report_with_groups_of_ones_own(
    installed: Path, tmp_path: Path
) -> None:
    (tmp_path / "own/model").mkdir(parents=True)
    (tmp_path / "own/model/net.yaml").write_text("_target_: mine.Net\nname: net\n")
    (tmp_path / "mine.py").write_text(NET)
    words = ("-m", "recipe=[teacher,prune]", "model@teacher.model=net", *QUICK, "seed=0,1")
    done = condenser(
        installed, tmp_path, "train", "--config-dir", "own", *words, path=str(tmp_path)
    )
    assert done.returncode == 0, done.stdout + done.stderr
    report = condenser(installed, tmp_path, "report", "runs")
    assert report.returncode == 0 and "net" in report.stdout
    commands = (tmp_path / "runs").rglob("records.jsonl")
    assert all('"command": "condenser train ' in file.read_text() for file in commands)
    listed = condenser(installed, tmp_path, "store", "ls")
    assert "teacher" in listed.stdout, listed.stderr
    named = ("--config-dir", "own", "recipe=[teacher,{distill:{model:nett}}]")
    wrong = condenser(installed, tmp_path, "train", *named)
    assert "did you mean net?" in wrong.stderr
