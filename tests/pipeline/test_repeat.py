"""The same command on a run that has ended: read again where nothing changed, else run."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from places import SRC
from running import QUICK, config_of

from condenser.pipeline import run as running
from condenser.pipeline.plan import Plan, make_plan
from condenser.runs import records, status

WORDS = ("recipe=[student,export]", "export.measure=false", "data.limit=64")


def plan_in(folder: Path, *words: str) -> Plan:
    return make_plan(config_of(*QUICK, f"runs={folder}", *WORDS, *words))


class GoesItsWayError(Exception):
    pass


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("repeat") / "runs"
    running.run(plan_in(folder), "the command")
    return folder


@pytest.fixture
def runs(ended: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the run that ended; whatever would read data raises."""
    from condenser.pipeline import session

    def refuse(*_: Any) -> None:
        raise GoesItsWayError

    monkeypatch.setattr(session, "prepare", refuse)
    return shutil.copytree(ended, tmp_path / "runs")


def test_nothing_changed_and_its_records_are_read_again(runs: Path) -> None:
    plan = plan_in(runs)
    before = records.read([plan.folder])
    again = running.run(plan, "another command")
    told = ("cost/reused", "command")
    assert [{k: v for k, v in r.items() if k not in told} for r in again] == [
        {k: v for k, v in r.items() if k not in told} for r in before
    ]
    assert all(r["cost/reused"] and r["command"] == "another command" for r in again)
    assert records.read([plan.folder]) == again == running.run(plan, "another command")
    assert (plan.folder / "records.csv").exists()


def in_the_store(name: str) -> Callable[[Path], None]:
    def alter(runs: Path) -> None:
        file = next(runs.glob(f".store/student-*/{name}"))
        file.write_bytes(file.read_bytes()[:-1] + b"?")

    return alter


CHANGES: dict[str, Callable[[Path], None]] = {
    "weights": in_the_store("weights.safetensors"),
    "measured": in_the_store("record.json"),
    "gone": lambda runs: shutil.rmtree(next(runs.glob(".store/student-*/record.json")).parent),
    "bundle": lambda runs: next(runs.glob("default/test/bundle/*.py")).unlink(),
    "records": lambda runs: (runs / "default/test/records.jsonl").unlink(),
    "stopped": lambda runs: status.write(runs / "default/test", state="stopped"),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_what_changed_on_disk_is_run(runs: Path, change: Callable[[Path], None]) -> None:
    change(runs)
    with pytest.raises(GoesItsWayError):
        running.run(plan_in(runs), "the command")


def test_another_setting_machine_or_caller_is_run(
    runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for plan, command in ((plan_in(runs, "optim.lr=0.5"), "the command"), (plan_in(runs), None)):
        with pytest.raises(GoesItsWayError):
            running.run(plan, command)
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    with pytest.raises(GoesItsWayError):
        running.run(plan_in(runs), "the command")


def test_a_file_that_the_config_names_is_looked_at(runs: Path, tmp_path: Path) -> None:
    from condenser.pipeline.repeat import around

    weights = tmp_path / "teacher.pt"
    plan = make_plan({**plan_in(runs).config, "claim": "", "teacher": {"load": str(weights)}})
    missing = around(plan)
    weights.write_bytes(b"one")
    first = around(plan)
    weights.write_bytes(b"three")
    assert len({missing, first, around(plan)}) == 3


def test_it_is_answered_without_torch(runs: Path) -> None:
    code = (
        "import json, sys; from pathlib import Path; from test_repeat import plan_in; "
        "from condenser.pipeline.run import run; "
        f"done = run(plan_in(Path({str(runs)!r})), 'again'); "
        "print(json.dumps([len(done), sorted({'torch', 'wandb', 'pandas'} & set(sys.modules))]))"
    )
    tests = Path(__file__).parents[1]
    sys_path = ":".join(map(str, (SRC, tests / "support", Path(__file__).parent)))
    out = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": sys_path},
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(out.stdout.splitlines()[-1]) == [2, []]
