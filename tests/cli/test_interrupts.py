"""Signals: Ctrl-C and a polite kill end a command in order, and the same command goes on."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from places import SRC

from condenser.runs import interrupts, records, status

QUICK = ("logger=csv", "trainer.threads=1", "trainer.accelerator=cpu", "run=x")
LINE = "condenser: interrupted; rerun the same command to resume: python "


def begun(folder: Path, *words: str, script: Path = SRC / "train.py") -> subprocess.Popen[str]:
    """A command that hears Ctrl-C, whatever the tests themselves ignore."""
    return subprocess.Popen(
        [sys.executable, str(script), *words],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler) and None,
    )


def wait_for(truth: Callable[[], Any], process: subprocess.Popen[str], seconds: float = 90) -> None:
    limit = time.monotonic() + seconds
    while not truth():
        assert process.poll() is None and time.monotonic() < limit, process.communicate()
        time.sleep(0.01)


def result(folder: Path) -> dict[str, str]:
    """The sha256 of the weights of each stage."""
    weights = folder.glob(".store/*/weights.safetensors")
    return {f.parent.name: hashlib.sha256(f.read_bytes()).hexdigest() for f in weights}


def curves(folder: Path) -> dict[str, str]:
    return {file.parent.name: file.read_text() for file in folder.glob("default/x/*/metrics.csv")}


def whole(text: str) -> bool:
    """Whether no row of a curve lacks a value."""
    return all(cell for line in text.splitlines() for cell in line.split(","))


@pytest.mark.parametrize(
    "how", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.fuzz)]
)
def test_a_training_that_is_interrupted_says_so_and_goes_on(
    tmp_path: Path, how: signal.Signals
) -> None:
    words = ("recipe=[teacher]", "data.limit=200", "optim.epochs=60", *QUICK)
    words = (*words, "trainer.checkpoint_seconds=0")
    (tmp_path / "a").mkdir()
    process = begun(tmp_path / "a", *words)
    folder = tmp_path / "a/runs/default/x"
    wait_for((folder / "0-teacher/metrics.csv").is_file, process)
    process.send_signal(how)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 128 + how
    assert said.startswith(LINE) and said.count("\n") == 1
    assert all(word in said for word in words)
    assert status.read(folder)["state"] == "stopped"
    again = begun(tmp_path / "a", *words)
    assert again.wait(120) == 0, again.communicate()
    (tmp_path / "b").mkdir()
    undisturbed = begun(tmp_path / "b", *words)
    assert undisturbed.wait(120) == 0, undisturbed.communicate()
    assert result(tmp_path / "a/runs") == result(tmp_path / "b/runs") != {}
    resumed, other = curves(tmp_path / "a/runs"), curves(tmp_path / "b/runs")
    assert resumed == other and whole(other["0-teacher"])
    assert len(records.read([folder])) == 1


def run_code(code: str, how: Sequence[signal.Signals], **options: Any) -> tuple[int, str]:
    """The end of a piece of Python that is sent signals when it says so."""
    lines = ["import sys, time", "from condenser.runs import interrupts"]
    lines += ["with interrupts.in_order('x'):", *(f"    {line}" for line in code.splitlines())]
    process = subprocess.Popen(
        [sys.executable, "-c", "\n".join(lines)],
        env={**os.environ, "PYTHONPATH": str(SRC)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )
    assert process.stdout is not None
    process.stdout.readline()
    for number in how:
        process.send_signal(number)
        time.sleep(0.05)
    return process.wait(30), process.communicate()[1]


def test_a_script_says_its_own_name() -> None:
    code = "from condenser.cli import common\n"
    code += "work = lambda: print(flush=True) or time.sleep(9)\n"
    code += "sys.exit(common.answer('report', work))"
    assert run_code(code, [signal.SIGTERM]) == (143, "report: " + LINE[11:] + "-c\n")


def test_what_an_interrupt_becomes_on_its_way_does_not_matter() -> None:
    code = "try:\n    print(flush=True)\n    time.sleep(9)\nfinally:\n    raise RuntimeError('hm')"
    assert run_code(code, [signal.SIGTERM]) == (143, "x: " + LINE[11:] + "-c\n")


def test_an_interrupt_that_was_swallowed_is_raised_at_the_next_look() -> None:
    code = "try:\n    print(flush=True)\n    time.sleep(9)\nexcept SystemExit:\n    pass\n"
    assert run_code(code + "interrupts.check()", [signal.SIGTERM])[0] == 143


def test_the_same_signal_twice_does_not_disturb_the_end() -> None:
    code = "try:\n    print(flush=True)\n    time.sleep(9)\nfinally:\n    time.sleep(.3)\n    "
    code += "print('in order', file=sys.stderr)"
    code_, said = run_code(code, [signal.SIGTERM, signal.SIGTERM])
    assert code_ == 143 and said.startswith("in order\nx: interrupted")


def test_what_is_ignored_stays_ignored() -> None:
    code = "print(flush=True)\ntime.sleep(.3)"
    deaf = {"preexec_fn": lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN) and None}
    assert run_code(code, [signal.SIGHUP], **deaf) == (0, "")
    assert run_code(code, [signal.SIGHUP])[0] == 129


def test_a_forked_worker_ends_without_a_word() -> None:
    code = "import os, signal\nif (pid := os.fork()) == 0:\n    time.sleep(9)\n"
    code += "print(flush=True)\ntime.sleep(.1)\nos.kill(pid, signal.SIGTERM)\n"
    code += "ended = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])\nsys.exit(ended)"
    assert run_code(code, []) == (143, "")


def test_handlers_are_put_back() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with interrupts.in_order("x"):
        assert signal.getsignal(signal.SIGTERM) is interrupts.end
    assert signal.getsignal(signal.SIGTERM) is before and not interrupts.came()
