"""A run's folder has one owner and the results of one config; nothing that was there is lost."""

from __future__ import annotations

import json
import multiprocessing
import os
import subprocess
import sys
from pathlib import Path

import pytest
from places import SRC
from running import config_of, run_in

from condenser.errors import CondenserError
from condenser.pipeline.key import digest, mark
from condenser.pipeline.reopen import saved_config
from condenser.runs import ownership, records, saved
from condenser.runs.ownership import busy, owned

HOLD = "import sys, time; from pathlib import Path; from condenser.runs.ownership import owned\n"
HOLD += "with owned(Path(sys.argv[1]), 'abc'):\n    print(flush=True)\n    time.sleep(60)"


def test_a_folder_is_of_one_process_and_free_when_that_is_killed(tmp_path: Path) -> None:
    folder = tmp_path / "runs/default/x"
    env = {**os.environ, "PYTHONPATH": str(SRC)}
    command = [sys.executable, "-c", HOLD, str(folder)]
    process = subprocess.Popen(command, env=env, stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    assert busy(folder)
    with pytest.raises(CondenserError) as same, owned(folder, "abc"):
        pass
    assert str(same.value).startswith(f"{folder}: process {process.pid} on ")
    with pytest.raises(CondenserError) as other, owned(folder, "def"):
        pass
    assert str(other.value).startswith("run=x: must be another name: process ")
    process.kill()
    process.wait()
    assert not busy(folder)
    with owned(folder, "def"):
        who = json.loads((folder / ownership.LOCK).read_text())
        assert (who["pid"], who["config"]) == (os.getpid(), "def")
        worker = multiprocessing.get_context("fork").Process(target=os.getpid)
        worker.start()
        worker.join()
    assert not list(folder.iterdir())
    with owned(tmp_path / "new/one", "abc"):
        pass
    assert not (tmp_path / "new").exists()  # nothing was written


def test_another_config_moves_the_results_of_the_first_aside(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("recipe.stages=[teacher]", "data.limit=100")
    (first,) = run_in(tmp_path, *words)
    folder = tmp_path / "default/test"
    before = {name: (folder / name).read_text() for name in (records.FILE, saved.FILE)}
    assert saved.mark(folder / saved.FILE) == first["config"]
    run_in(tmp_path, *words, "claim=told otherwise", "trainer.checkpoint_seconds=1")
    assert not (folder / ownership.PREVIOUS).exists()
    capsys.readouterr()
    (second,) = run_in(tmp_path, *words, "seed=1")
    (place,) = (folder / ownership.PREVIOUS).iterdir()
    assert f"held results of another config: they are in {place} now" in capsys.readouterr().out
    assert second["config"] != first["config"] == saved.mark(place / saved.FILE)
    assert (place / "0-teacher/metrics.csv").is_file()
    kept = json.loads((place / records.FILE).read_text())
    assert kept["lineage"]["key"] == json.loads(before[records.FILE])["lineage"]["key"]
    assert records.read([tmp_path]) == [second]  # a report does not count what was


def test_a_mixed_folder_is_told_and_refused(tmp_path: Path) -> None:
    from condenser.cli import report

    run_in(tmp_path, "recipe.stages=[teacher]", "data.limit=100")
    folder = tmp_path / "default/test"
    text = (folder / saved.FILE).read_text()
    (folder / saved.FILE).write_text(text.replace(saved.MARK, saved.MARK + "0", 1))
    with pytest.raises(CondenserError, match="are of different configs"):
        saved_config(folder)
    _, said = report._read([tmp_path])
    assert len(said) == 1 and "are of different configs; run it again" in said[0]


@pytest.mark.parametrize(
    ("word", "changes"),
    [
        ("data.root=/elsewhere", True),
        ("seed=1", True),
        ("trainer.threads=1", True),
        ("claim=c", False),
        ("trainer.checkpoint_seconds=1", False),
        ("trainer.progress=false", False),
        ("logger=csv", False),
        ("store=/elsewhere", False),
    ],
)
def test_what_makes_it_another_config(word: str, changes: bool) -> None:
    one, other = config_of(), config_of(word)
    assert (mark(one) != mark(other)) == changes
    assert digest(one) != digest(other) or word.startswith("store")


def image_folder(folder: Path, shade: int) -> None:
    from PIL import Image

    for part, count in (("train", 8), ("test", 4)):
        for name in ("a", "b"):
            place = folder / part / name
            place.mkdir(parents=True)
            for number in range(count):
                Image.new("RGB", (8, 8), (shade, number * 20, 255 * (name == "a"))).save(
                    place / f"{shade}-{number}.png"
                )


def test_two_image_folders_are_two_runs(tmp_path: Path) -> None:
    for name, shade in (("A", 10), ("B", 200)):
        image_folder(tmp_path / name, shade)
    words = ["-m", "data=imagefolder", "data.source.num_workers=0", "data.root=A,B"]
    words += ["data.source.size=8", "data.source.resize=8", "recipe=[student]", "debug=fast"]
    words += ["logger=csv", "trainer.accelerator=cpu", "trainer.threads=1", "optim.batch_size=4"]
    words += ["data.val_fraction=0.25", "data.limit=null"]
    command = [sys.executable, str(SRC / "train.py"), *words]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    found = records.read([tmp_path / "runs"])
    assert len(found) == 2 and len({record["key"] for record in found}) == 2
    assert sorted(str(r["run"])[:7] for r in found) == ["root=A,", "root=B,"]
    assert all("data.root=" in str(record["command"]) for record in found)
