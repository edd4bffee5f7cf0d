"""A disk that fills up while a script writes: the old files or none, one line, no draft left."""

from __future__ import annotations

import builtins
import errno
import io
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from running import run_in

from condenser.checkpoint import model_spec
from condenser.cli import dashboard, export, pack, report, sensitivity
from condenser.errors import CondenserError


class Full:
    """A file of which half goes to disk, and then there is no more room."""

    def __init__(self, file: Any) -> None:
        self.file = file

    def write(self, data: Any) -> int:
        self.file.write(data[: len(data) // 2])
        self.file.flush()
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def fileno(self) -> int:
        raise io.UnsupportedOperation  # nobody copies past us

    def __enter__(self) -> Full:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)


@pytest.fixture
def fill(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path, int], None]:
    """Let the disk below a folder be full after so many files were written there."""

    def start(folder: Path, room: int = 0) -> None:
        left, real = [room], io.open

        def opened(file: Any, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
            made = real(file, mode, *args, **kwargs)
            inside = isinstance(file, str | os.PathLike) and folder in Path(file).parents
            if not inside or not set(mode) & set("wax+"):
                return made
            left[0] -= 1
            return Full(made) if left[0] < 0 else made

        monkeypatch.setattr(io, "open", opened)
        monkeypatch.setattr(builtins, "open", opened)

    return start


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    runs = tmp_path_factory.mktemp("whole") / "runs"
    run_in(runs, "recipe=[teacher,export]", "data.limit=300", "export.batch=2")
    return runs / "default/test"


SCRIPTS: dict[str, Callable[[Path, Path], int]] = {
    "export": lambda run, out: export.main([str(run), "--out", str(out / "m.onnx")]),
    "pack": lambda run, out: pack.main([str(run), "--position", "0", "--out", str(out / "m.cndp")]),
    "sensitivity": lambda run, out: sensitivity.main(
        [str(run), "--rates", "0.5", "--out", str(out)]
    ),
    "report": lambda run, out: report.main([str(run), "--out", str(out)]),
    "dashboard": lambda run, out: dashboard.main(
        [str(run), "--offline", "--out", str(out / "d.json")]
    ),
}


@pytest.mark.parametrize(
    ("script", "room"), [*((name, 0) for name in SCRIPTS), ("sensitivity", 2), ("report", 2)]
)
def test_nothing_half_written_is_left(
    script: str,
    room: int,
    finished: Path,
    fill: Callable[[Path, int], None],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "out"
    assert SCRIPTS[script](finished, out) == 0
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    again = tmp_path / "again"
    shutil.copytree(out, again)
    capsys.readouterr()
    fill(again, room)
    assert SCRIPTS[script](finished, again) != 0
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and said.startswith(f"{script}: ")
    assert os.strerror(errno.ENOSPC).lower() in said.lower()
    assert {path.name: path.read_bytes() for path in again.iterdir()} == before


def test_unpacking_leaves_nothing_half_written(
    finished: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """safetensors writes by itself, and says in words what went wrong."""
    from safetensors import SafetensorError

    def full(state: object, path: Path) -> None:
        path.write_bytes(b"half")
        raise SafetensorError("I/O error: No space left on device (os error 28)")

    packed, out = tmp_path / "m.cndp", tmp_path / "out"
    assert pack.main([str(finished), "--position", "0", "--out", str(packed)]) == 0
    monkeypatch.setattr(model_spec, "save_file", full)
    capsys.readouterr()
    assert pack.main([str(packed), "--out", str(out)]) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and said.startswith("pack: ")
    assert list(out.iterdir()) == []


@pytest.mark.parametrize("name", ["config.yaml", "records.jsonl", "records.csv"])
def test_what_a_run_writes_is_whole(
    name: str, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The files of the run before stay as they were."""
    runs = tmp_path / "runs"
    shutil.copytree(finished.parents[1], runs)
    folder = runs / "default/test"
    before = (folder / name).read_bytes()
    force = os.fsync

    def full(handle: int) -> None:
        if Path(f"/proc/self/fd/{handle}").resolve().name.startswith(f".{name}."):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        force(handle)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises((OSError, CondenserError)) as raised:
        run_in(runs, "recipe=[teacher,export]", "data.limit=300", "export.batch=2")
    assert os.strerror(errno.ENOSPC) in str(raised.value) and name in str(raised.value)
    assert (folder / name).read_bytes() == before
    assert not list(folder.glob(".*"))
