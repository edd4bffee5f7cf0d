"""Command lines that cannot be meant: each is answered by the lines of its row, and by no other.

A row of commands/AREA.yaml:

    line: arguments of train.py, or SCRIPT.py and its arguments, quoted as in a shell
    says: what stderr says, to the letter; … is any text within a line, {tmp} the folder it runs in
    code: the exit status (1)
    files: {name: text}, there beforehand; what ends in / is a folder
    needs: a module of an extra, without which another line is said
"""

from __future__ import annotations

import importlib
import io
import re
import shlex
import socket
import sys
from pathlib import Path
from time import process_time
from typing import Any

import pytest
import yaml

from condenser.cli import train as cli

HERE = Path(__file__).parent / "commands"
SLOWEST = 5  # seconds of a processor


def rows() -> list[Any]:
    found = []
    for file in sorted(HERE.glob("*.yaml")):
        for row in yaml.safe_load(file.read_text(encoding="utf-8")) or []:
            unknown = set(row) - {"line", "says", "code", "files", "needs"}
            assert not unknown, f"{file.name}: {unknown}"
            found.append(pytest.param(row, id=f"{file.stem}: {row['line'][:70]}"))
    return found


ROWS = rows()


@pytest.fixture(scope="module", autouse=True)
def imported() -> None:
    """What a row takes is its own time."""
    import condenser.pipeline.run
    import condenser.pipeline.stages.training
    import condenser.tracking.wandb_run  # noqa: F401


@pytest.fixture
def nothing_runs(
    own_surroundings: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> pytest.MonkeyPatch:
    """No training, no network, no terminal; a folder of its own."""

    def refused(*_: Any, **__: Any) -> None:
        raise AssertionError("it got as far as this")

    monkeypatch.setattr("condenser.training.fit.fit", refused)
    monkeypatch.setattr(socket.socket, "connect", refused)
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(folder)
    return monkeypatch


def prepare(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = folder / name
        (path if name.endswith("/") else path.parent).mkdir(parents=True, exist_ok=True)
        if not name.endswith("/"):
            path.write_text(text, encoding="utf-8")


def answered(line: str, monkeypatch: pytest.MonkeyPatch) -> object:
    """The exit status of a command line, run in this process."""
    script, *words = shlex.split(line)
    if not script.endswith(".py"):
        script, words = "train.py", [script, *words]
    monkeypatch.setattr(sys, "argv", [script, *words])
    try:
        if script == "train.py":
            return cli.main()
        return importlib.import_module(f"condenser.cli.{script.removesuffix('.py')}").main(words)
    except SystemExit as ended:
        return ended.code


def pattern(says: str, folder: Path) -> str:
    parts = says.rstrip("\n").replace("{tmp}", str(folder)).split("…")
    return "[^\n]*".join(map(re.escape, parts)) + "\n"


def listing(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@pytest.mark.parametrize("row", ROWS)
def test_it_is_answered(
    row: dict[str, Any],
    nothing_runs: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    pytest.importorskip(row.get("needs", "condenser"))
    folder = Path.cwd()
    prepare(folder, row.get("files", {}))
    before, modules, started = listing(folder), set(sys.modules), process_time()
    try:
        code = answered(row["line"].replace("{tmp}", str(folder)), nothing_runs)
    finally:
        for name in set(sys.modules) - modules:  # own modules of a row are not another's
            if str(folder) in str(getattr(sys.modules[name], "__file__", "")):
                del sys.modules[name]
    took = process_time() - started
    out, err = capfd.readouterr()
    assert re.fullmatch(pattern(row["says"], folder), err), f"{row['says']}\n---\n{err}"
    assert code == row.get("code", 1)
    assert "Traceback" not in out + err
    assert [f for f in listing(folder) if "__pycache__" not in f] == before
    assert took < SLOWEST


def test_there_are_enough() -> None:
    rows = [(param.values[0]["line"], str(param.values[0].get("files"))) for param in ROWS]
    assert len(rows) == len(set(rows)) >= 200
