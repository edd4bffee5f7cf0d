"""What a tracker writes is what it was given, and W&B never stops or delays a run."""

from __future__ import annotations

import csv
import json
import logging
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from places import CONF
from wandb_file import read_run
from wandb_server import Arrived, Server, deaf, serving

from condenser.errors import ConfigError
from condenser.tracking import CsvTracker, WandbTracker, identity, wandb_start
from condenser.tracking.csv_files import CsvCurve

IDENTITY = identity(
    experiment="temperature",
    recipe="distill_prune",
    run="temperature=4,seed=1",
    claim="softer targets teach more",
    data="digits",
    models=("lenet5", "lenet5"),
    tags=("x" * 80,),
    commit="abc123",
    key="f00d",
    config="c0de",
)
CONFIG = {"seed": 1, "distill": {"temperature": 4.0, "layers": ("a", "b")}, "path": Path("x")}
RECORDS: list[dict[str, Any]] = [
    {"stage": "teacher", "position": 0, "model": "lenet5", "test/accuracy": 0.1 + 0.2,
     "key": "f00d", "size/file_bytes": 12_345_678, "cost/reused": False, "teacher": None},
    {"stage": "prune", "position": 1, "model": "lenet5", "test/accuracy": 1 / 3,
     "key": "beef", "size/file_bytes": 98_765, "cost/reused": False, "teacher": "f00d",
     "prune/rate": 0.9, "versions": {"torch": "2"}},
]  # fmt: skip


@pytest.fixture(autouse=True)
def time_for_tables(own_surroundings: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine writes them, too."""
    monkeypatch.setattr("condenser.tracking.wandb_run.TABLE_SECONDS", 60)


def stored(folder: Path, record: Mapping[str, Any]) -> Path:
    """The model of a record as the store keeps it."""
    entry = folder / "store" / f"{record['stage']}-{record['key']}"
    entry.mkdir(parents=True, exist_ok=True)
    for name in ("model.json", "weights.safetensors", "record.json"):
        (entry / name).write_text(f"{name} of {record['key']}")
    return entry


def track(folder: Path, records: list[dict[str, Any]] = RECORDS, **settings: Any) -> WandbTracker:
    """A whole run: three steps of a curve in each stage, its record, the end.

    With more patience than people have: what is looked at is what arrives, on a busy machine too.
    """
    settings = {"init_timeout": 60, "finish_timeout": 100} | settings
    tracker = WandbTracker(identity=IDENTITY, config=CONFIG, folder=folder, **settings)
    for position, record in enumerate(records):
        for write in tracker.writers(f"{position}-{record['stage']}"):
            for step in range(3):
                write({"train/loss": 1 / (step + 3), "epoch": step}, 10 * step)
        tracker.record(record, stored(folder, record))
    tracker.finish(records, exit_code=len(records) % 2)
    return tracker


def read_csv(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


def assert_csv_complete(folder: Path) -> None:
    curve = read_csv(folder / "1-prune" / "metrics.csv")
    assert [float(row["train/loss"]) for row in curve] == [1 / 3, 1 / 4, 1 / 5]
    assert [float(row["test/accuracy"]) for row in read_csv(folder / "records.csv")] == [
        record["test/accuracy"] for record in RECORDS
    ]


def warnings_in(caplog: pytest.LogCaptureFixture) -> list[str]:
    ours = [entry for entry in caplog.records if entry.name.startswith("condenser")]
    return [entry.getMessage() for entry in ours if entry.levelno >= logging.WARNING]


def numbers(record: Mapping[str, Any]) -> dict[str, float]:
    return {key: value for key, value in record.items() if isinstance(value, (int, float))}


def run_python(code: str, *arguments: str, **environment: str) -> str:
    """What a fresh interpreter prints."""
    paths = os.pathsep.join(path for path in sys.path if path)
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env={**os.environ, "PYTHONPATH": paths, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def test_a_wandb_run_holds_the_run_number_for_number(tmp_path: Path) -> None:
    before = dict(os.environ)
    tracker = track(tmp_path, mode="offline", tags=["mine"])
    tracker.finish(RECORDS, exit_code=0)

    run = read_run(tmp_path)
    assert run.run | {"run_id": ""} == {
        "run_id": "",
        "project": "condenser",
        "run_group": "temperature",
        "job_type": "distill_prune",
        "display_name": "temperature=4,seed=1",
        "notes": "softer targets teach more",
        "tags": ["digits", "lenet5", "test-once", "x" * 64, "mine"],
    }
    assert run.config["distill"] == {"temperature": 4.0, "layers": ["a", "b"]}
    assert (run.config["path"], run.config["commit"], run.config["key"]) == ("x", "abc123", "f00d")
    assert run.rows("stage") == [numbers(record) for record in RECORDS]
    losses = [row["train/loss"] for row in run.rows("prune")]
    assert losses == [1 / 3, 1 / 4, 1 / 5]
    assert run.axes["prune/*"] == "prune/step"
    assert run.axes["stage/*"] == "stage/position"
    assert run.exit_code == 0
    assert_csv_complete(tmp_path)
    assert dict(os.environ) == before


def test_the_summary_is_the_last_record_and_nothing_else(tmp_path: Path) -> None:
    track(tmp_path, mode="offline")
    summary = read_run(tmp_path).summary
    versions = {key: summary.pop(key) for key in list(summary) if key.startswith("versions")}
    assert versions in ({"versions": {"torch": "2"}}, {"versions/torch": "2"})
    ours = {
        key: value
        for key, value in summary.items()
        if not key.startswith(("_", "records/", "accuracy_vs_size_table/"))
    }
    last = {key: value for key, value in RECORDS[-1].items() if key != "versions"}
    assert ours == last


def test_table_and_plot_hold_every_record(tmp_path: Path) -> None:
    track(tmp_path, mode="offline")
    run = read_run(tmp_path)
    logged = run.history[-1]
    assert (logged["records/nrows"], logged["records/ncols"]) == (2, 10)
    assert logged["accuracy_vs_size_table/nrows"] == 2
    (chart,) = [value for key, value in run.config.items() if key.startswith("_wandb/visualize")]
    assert chart["panel_config"]["fieldSettings"] == {"x": "size/file_bytes", "y": "test/accuracy"}


def test_recipes_overlay_whatever_place_a_stage_has(tmp_path: Path) -> None:
    """A curve goes by its stage; a recipe's second prune is another curve than its first."""
    stages = ["teacher", {"prune": {"rate": 0.5}}, {"tune": {}, "times": 2, "until": 0.9}, "prune"]
    config = {**CONFIG, "recipe": {"stages": stages}}
    tracker = WandbTracker(IDENTITY, config, tmp_path, mode="offline", init_timeout=60)
    labels = ("0-teacher", "1-prune", "1-prune-random", "3-tune", "4-prune", "4-prune-random")
    for place, label in enumerate(labels):
        for write in tracker.writers(label):
            write({"val/accuracy": place / 10}, 5)
    tracker.finish([], exit_code=0)
    run = read_run(tmp_path)
    charts = ("teacher", "prune", "prune-random", "tune-2", "prune-2", "prune-random-2")
    for place, chart in enumerate(charts):
        assert run.rows(chart) == [{"val/accuracy": place / 10, "step": 5}]
        assert run.axes[f"{chart}/*"] == f"{chart}/step"


def test_two_runs_in_one_process_are_two_wandb_runs(tmp_path: Path) -> None:
    for name, records in (("a", RECORDS), ("b", RECORDS[:1])):
        track(tmp_path / name, records, mode="offline")
    first, second = read_run(tmp_path / "a"), read_run(tmp_path / "b")
    assert first.run["run_id"] != second.run["run_id"]
    assert [len(run.rows("stage")) for run in (first, second)] == [2, 1]
    assert second.summary["test/accuracy"] == RECORDS[0]["test/accuracy"]
    assert "prune/rate" not in second.summary
    assert not second.rows("prune")
    assert (first.exit_code, second.exit_code) == (0, 1)


# --- a server, and what arrives there


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    with serving() as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        yield server


def assert_arrived(run: Arrived) -> None:
    """All that the run has told, number for number."""
    assert {key: run.settings[key] for key in ("groupName", "jobType", "displayName", "notes")} == {
        "groupName": "temperature",
        "jobType": "distill_prune",
        "displayName": "temperature=4,seed=1",
        "notes": "softer targets teach more",
    }
    assert run.settings["tags"] == ["digits", "lenet5", "test-once", "x" * 64]
    assert run.config == {
        "seed": 1,
        "distill": {"temperature": 4.0, "layers": ["a", "b"]},
        "path": "x",
        "commit": "abc123",
        "key": "f00d",
    }
    assert run.rows("stage") == [numbers(record) for record in RECORDS]
    for chart in ("teacher", "prune"):
        assert run.rows(chart) == [
            {"train/loss": 1 / (step + 3), "epoch": step, "step": 10 * step} for step in range(3)
        ]
    ours = {key: value for key, value in run.summary.items() if key in RECORDS[-1]}
    assert ours == RECORDS[-1]
    assert run.exit_code == 0


def test_an_online_run_arrives_number_for_number(server: Server, tmp_path: Path) -> None:
    track(tmp_path)
    assert_arrived(server.run())
    (table,) = [body for name, body in server.run().files.items() if "/records_" in name]
    cells = json.loads(table)
    rows = [dict(zip(cells["columns"], row, strict=True)) for row in cells["data"]]
    shown = [{**record, "versions": record.get("versions")} for record in RECORDS]
    shown[1]["versions"] = '{"torch": "2"}'
    assert rows == [dict.fromkeys(rows[0]) | record for record in shown]
    assert server.unknown == []


def test_an_offline_run_is_synced_whole(server: Server, tmp_path: Path) -> None:
    track(tmp_path, mode="offline")
    assert server.runs == {}
    (folder,) = tmp_path.glob("wandb/offline-run-*")
    done = subprocess.run(
        [sys.executable, "-m", "wandb", "sync", str(folder)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert_arrived(server.run())
    metrics = server.model("lenet5-prune")
    assert (sorted(metrics.aliases), metrics.metadata["teacher"]) == (["beef", "latest"], "f00d")
    assert json.loads(metrics.files["facts.json"]) == metrics.metadata
    assert metrics.metadata["test/accuracy"] == 1 / 3


# --- killed and resumed, or run again: one run

KILLED = """
import json, os, signal, sys, time
from pathlib import Path
from condenser.tracking import WandbTracker
from test_tracking import CONFIG, IDENTITY, RECORDS
folder, seconds = Path(sys.argv[1]), float(sys.argv[2])
tracker = WandbTracker(IDENTITY, CONFIG, folder, init_timeout=60)
for stage, steps in (("0-teacher", 3), ("1-prune", 2)):
    (csv, curve) = tracker.writers(stage)
    for step in range(steps):
        for write in (csv, curve):
            write({"train/loss": 1 / (step + 3), "epoch": step}, 10 * step)
    if stage == "0-teacher":
        tracker.record(RECORDS[0])
csv({"train/loss": 0.2}, 20)  # on disk, and no more time to log it
time.sleep(seconds)
os.kill(os.getpid(), signal.SIGKILL)
"""


def killed(folder: Path, seconds: float) -> None:
    """A run that is killed in its second stage, these seconds after its last row."""
    paths = os.pathsep.join((str(Path(__file__).parent), *filter(None, sys.path)))
    environment = {**os.environ, "PYTHONPATH": paths}
    arguments = [sys.executable, "-c", KILLED, str(folder), str(seconds)]
    assert subprocess.run(arguments, env=environment).returncode == -signal.SIGKILL


def resumed(folder: Path, trained: int = 1, **settings: Any) -> None:
    """The same run to its end: stages before ``trained`` from the store, that from step 10 on."""
    settings = {"init_timeout": 60, "finish_timeout": 100} | settings
    tracker = WandbTracker(IDENTITY, CONFIG, folder, **settings)
    records = [{**r, "cost/reused": r["position"] < trained} for r in RECORDS]
    for record in records:
        if record["position"] == trained:
            for write in tracker.writers(f"{trained}-{record['stage']}"):
                for step in (1, 2):
                    write({"train/loss": 1 / (step + 3), "epoch": step}, 10 * step)
        tracker.record(record, stored(folder, record))
    tracker.finish(records, exit_code=0)


def assert_whole(run: Arrived) -> None:
    """Each row of the run once, whatever came between."""
    for chart in ("teacher", "prune"):
        rows = [(row["step"], row["train/loss"], row["epoch"]) for row in run.rows(chart)]
        assert rows == [(10 * step, 1 / (step + 3), step) for step in range(3)]
    assert [row["position"] for row in run.rows("stage")] == [0, 1]
    assert [row["_step"] for row in run.history] == list(range(len(run.history)))
    assert {key: run.summary[key] for key in ("position", "key", "prune/rate")} == {
        "position": 1, "key": "beef", "prune/rate": 0.9
    }  # fmt: skip
    assert run.exit_code == 0


def synced(folder: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "wandb", "sync", str(folder / "wandb")],
        capture_output=True,
        check=True,
        cwd=folder,
    )


def test_a_run_killed_and_resumed_offline_is_synced_as_one(server: Server, tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as offline:
        offline.setenv("WANDB_MODE", "offline")
        killed(tmp_path, seconds=3)
        (file,) = tmp_path.glob("wandb/offline-run-*/*.wandb")
        os.truncate(file, file.stat().st_size - 5)  # in the middle of a record
        resumed(tmp_path)
    assert len({part.name for part in tmp_path.glob("wandb/offline-run-*")}) == 2
    synced(tmp_path)
    assert_whole(server.run())


@pytest.mark.parametrize("seconds", [0, 4])  # it is told of nothing; of all but the last
def test_a_run_killed_and_resumed_online_is_one(
    seconds: float, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_X_FILE_STREAM_TRANSMIT_INTERVAL", "1")
    killed(tmp_path, seconds)
    before = sum(len(run.history) for run in server.runs.values())
    assert (before > 0) == (seconds > 0)
    resumed(tmp_path)
    assert_whole(server.run())


def test_a_run_killed_offline_and_resumed_online_is_one(server: Server, tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as offline:
        offline.setenv("WANDB_MODE", "offline")
        killed(tmp_path, seconds=0)
    resumed(tmp_path)
    assert_whole(server.run())


@pytest.mark.parametrize("kept", [True, False])
def test_the_same_command_again_updates_its_run(kept: bool, server: Server, tmp_path: Path) -> None:
    track(tmp_path / "run")
    before = [row for row in server.run().history if not row.get("records")]
    if not kept:
        shutil.rmtree(tmp_path / "run")
        time.sleep(1)  # W&B names its folders by the second
    resumed(tmp_path / "run", trained=9)
    after = [row for row in server.run().history if not row.get("records")]
    assert after == before
    assert server.run().summary["cost/reused"] is True


def test_a_run_deleted_on_the_server_is_begun_anew(server: Server, tmp_path: Path) -> None:
    killed(tmp_path, seconds=0)
    server.deleted = set(server.runs)
    server.runs.clear()
    resumed(tmp_path, init_timeout=3)  # asked for as long, the server keeps refusing
    assert_whole(server.run())
    assert not server.deleted.intersection(server.runs)


def test_a_run_has_one_id_per_config_machine_and_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def found(folder: str = "a", **changed: Any) -> str:
        return wandb_start.run_id(replace(IDENTITY, **changed), tmp_path / folder, [])

    first = found()
    assert re.fullmatch("[0-9a-f]{16}", first)
    assert found() == found(commit="other", key="other", notes="said otherwise") == first
    others = [found("b"), found(config="other"), found(name="other"), found(group="other")]
    monkeypatch.setattr(socket, "gethostname", lambda: "elsewhere")
    assert len({first, found(), *others}) == 6
    part = tmp_path / "moved/wandb/offline-run-20260101_000000-theirs"
    assert wandb_start.run_id(IDENTITY, tmp_path, [part]) == "theirs"
    monkeypatch.setenv("WANDB_RUN_ID", "mine")
    assert wandb_start.run_id(IDENTITY, tmp_path, [part]) == "mine"


def test_models_are_artifacts_that_name_what_they_are_made_of(
    server: Server, tmp_path: Path
) -> None:
    track(tmp_path / "first")
    teacher, prune = server.model("lenet5-teacher"), server.model("lenet5-prune")
    assert prune.files == {
        name: f"{name} of beef".encode() for name in ("model.json", "weights.safetensors")
    }
    assert prune.committed and teacher.committed and sorted(prune.aliases) == ["beef", "latest"]
    assert prune.metadata["teacher"] == teacher.metadata["key"] == "f00d"
    (first,) = server.runs
    ids = {artifact.name: key for key, artifact in server.artifacts.items()}
    assert server.run().uses == [ids["lenet5-teacher"]]

    again = [{**record, "cost/reused": record["stage"] == "teacher"} for record in RECORDS]
    track(tmp_path / "second", again)
    (second,) = server.runs.keys() - {first}
    assert server.runs[second].uses == [ids["lenet5-teacher"]]
    assert server.model("lenet5-teacher").run == first


def test_a_model_from_the_store_that_the_project_lacks_is_logged(
    server: Server, tmp_path: Path
) -> None:
    track(tmp_path, [{**record, "cost/reused": True} for record in RECORDS])
    assert server.model("lenet5-teacher").files.keys() == {"model.json", "weights.safetensors"}
    assert len(server.run().uses) == 1


@pytest.mark.parametrize(
    ("settings", "files"),
    [
        ({"artifacts": "none"}, None),
        ({"artifacts": "metadata"}, {"facts.json"}),
        ({"largest_artifact": 10}, {"facts.json"}),
    ],
)
def test_how_much_of_a_model_is_logged_is_a_setting(
    settings: dict[str, Any], files: set[str] | None, server: Server, tmp_path: Path
) -> None:
    track(tmp_path, **settings)
    found = [a for a in server.artifacts.values() if a.type == "model"]
    assert [set(a.files) for a in found] == ([files] * 2 if files else [])
    assert len(server.run().uses) == (1 if files else 0)


def test_a_server_that_dies_in_the_middle_costs_little_and_no_data(
    server: Server, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tracker = WandbTracker(IDENTITY, CONFIG, tmp_path, init_timeout=5, finish_timeout=3)
    start = time.monotonic()
    for position, record in enumerate(RECORDS):
        for write in tracker.writers(f"{position}-{record['stage']}"):
            for step in range(3):
                write({"train/loss": 1 / (step + 3), "epoch": step}, 10 * step)
        if position == 1:
            server.die()
        tracker.record(record, stored(tmp_path, record))
    assert time.monotonic() - start < 15, "the training waited"
    tracker.finish(RECORDS, exit_code=0)
    assert time.monotonic() - start < 25, "W&B itself would wait for minutes"
    assert_csv_complete(tmp_path)
    (warning,) = warnings_in(caplog)
    run = read_run(tmp_path)
    assert run.rows("stage") == [numbers(record) for record in RECORDS]
    assert run.summary["test/accuracy"] == 1 / 3

    (command,) = re.findall("`(wandb sync .*)`", warning)
    with serving() as other:
        words = [sys.executable, "-m", *command.split()]
        environment = {**os.environ, **other.environment}
        environment.pop("WANDB_SERVICE", None)  # of this process, still busy with the dead server
        done = subprocess.run(words, env=environment, cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert_arrived(other.run())


def test_a_deaf_server_makes_an_offline_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with deaf() as url:
        monkeypatch.setenv("WANDB_BASE_URL", url)
        monkeypatch.setenv("WANDB_API_KEY", "a" * 40)
        start = time.monotonic()
        track(tmp_path, init_timeout=2)
        assert time.monotonic() - start < 15
    (warning,) = warnings_in(caplog)
    assert "offline" in warning
    assert len(read_run(tmp_path).rows("stage")) == 2


def test_a_service_that_does_not_end_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    import wandb

    wandb.setup(wandb.Settings(silent=True, mode="offline"))
    process = wandb_start.service()
    assert process is not None and process.poll() is None
    end = wandb.teardown
    monkeypatch.setattr(wandb_start, "PATIENCE", 0.2)
    monkeypatch.setattr(wandb, "teardown", process.wait)  # as where a server is deaf
    wandb_start.stop_service()
    assert process.wait(5) == -9
    monkeypatch.undo()
    with suppress(SystemExit, OSError):  # nobody answers
        end()


class Hostile:
    """Raises in every method."""

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(name)


@pytest.mark.parametrize("broken", ["setup", "init", "run", "import"])
def test_a_failing_wandb_costs_one_warning(
    broken: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    import wandb

    def fail(*args: Any, **kwargs: Any) -> None:
        raise RuntimeError("broken")

    if broken == "import":
        monkeypatch.setitem(sys.modules, "wandb", None)
    elif broken == "run":
        monkeypatch.setattr(wandb, "init", lambda **kwargs: Hostile())
        monkeypatch.setattr(wandb, "setup", lambda *args: None)
    else:
        monkeypatch.setattr(wandb, broken, fail)
    track(tmp_path, mode="online" if broken == "run" else "offline")
    assert_csv_complete(tmp_path)
    (warning,) = warnings_in(caplog)
    assert "W&B could not start" in warning


def test_a_wandb_run_that_breaks_midway_is_closed_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from wandb import Run

    def fail(*args: Any, **kwargs: Any) -> None:
        raise RuntimeError("broken")

    monkeypatch.setattr(Run, "log", fail)
    track(tmp_path, mode="offline")
    assert_csv_complete(tmp_path)
    assert len(warnings_in(caplog)) == 1
    assert read_run(tmp_path).exit_code == 0


def test_a_table_that_blocks_does_not_hold_the_end_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    import wandb

    from condenser.tracking import wandb_run

    monkeypatch.setattr(wandb_run, "TABLE_SECONDS", 0.2)
    monkeypatch.setattr(wandb, "Table", lambda **kwargs: time.sleep(30))
    start = time.monotonic()
    track(tmp_path, mode="offline")
    assert time.monotonic() - start < 15
    (warning,) = warnings_in(caplog)
    assert "log the tables" in warning
    run = read_run(tmp_path)
    assert (run.summary["test/accuracy"], run.exit_code) == (1 / 3, 0)
    assert_csv_complete(tmp_path)


def test_an_interrupt_passes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import wandb

    def interrupt(*args: Any, **kwargs: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(wandb, "setup", interrupt)
    with pytest.raises(KeyboardInterrupt):
        track(tmp_path, mode="offline")


def test_an_unreachable_server_makes_an_offline_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("WANDB_API_KEY", "a" * 40)
    start = time.monotonic()
    track(tmp_path, init_timeout=2)
    assert time.monotonic() - start < 15
    (warning,) = warnings_in(caplog)
    assert "offline" in warning and "127.0.0.1:9" in warning
    assert len(read_run(tmp_path).rows("stage")) == 2
    assert_csv_complete(tmp_path)


def test_an_offline_run_talks_to_no_server(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        code = "import test_tracking as t; t.track(t.Path(t.sys.argv[1]), mode='offline')"
        run_python(code, str(tmp_path), WANDB_BASE_URL=url)
        server.setblocking(False)
        with pytest.raises(BlockingIOError):
            server.accept()
    assert len(read_run(tmp_path).rows("stage")) == 2


def test_mode_is_found_where_people_set_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import wandb

    from condenser.tracking.wandb_start import find_mode

    def found() -> str:
        try:
            wandb.setup(wandb.Settings(silent=True))
            return find_mode()
        finally:
            wandb.teardown()

    assert found() == "offline"
    (tmp_path / "netrc").write_text(f"machine api.wandb.ai login user password {'a' * 40}\n")
    assert found() == "online"
    (tmp_path / "home" / ".config" / "wandb").mkdir(parents=True)
    (tmp_path / "home" / ".config" / "wandb" / "settings").write_text("[default]\nmode = offline\n")
    assert found() == "offline"


def test_disabled_and_other_ranks_leave_nothing_of_wandb(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setenv("WANDB_MODE", "disabled")
        track(tmp_path / "disabled")
    assert_csv_complete(tmp_path / "disabled")
    assert not (tmp_path / "disabled" / "wandb").exists()
    monkeypatch.setenv("LOCAL_RANK", "1")
    tracker = WandbTracker(IDENTITY, CONFIG, tmp_path / "rank", mode="offline")
    tracker.finish(RECORDS, exit_code=0)
    assert not (tmp_path / "rank").exists()


@pytest.mark.parametrize(
    ("key", "value", "meant"), [("mode", "ofline", "offline"), ("artifacts", "non", "none")]
)
def test_a_misspelt_setting_is_refused(key: str, value: str, meant: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"logger.{key}={value}.*did you mean {meant}"):
        WandbTracker(IDENTITY, CONFIG, tmp_path, **{key: value})  # type: ignore[arg-type]


def test_a_resumed_curve_goes_on_where_the_checkpoint_was(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    killed = CsvCurve(path)
    for step in range(6):
        killed({"loss": step / 7}, step)
    killed({"val": 0.5}, 5)
    with path.open("a") as file:
        file.write("6,0.8571")  # killed while writing
    resumed = CsvCurve(path)
    for step in range(4, 8):
        resumed({"loss": step / 7}, step)
    rows = read_csv(path)
    assert [int(row["step"]) for row in rows] == list(range(8))
    assert [float(row["loss"]) for row in rows] == [step / 7 for step in range(8)]


def test_a_curve_is_complete_after_every_row(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    curve = CsvCurve(path)
    curve({"train/loss": 2.0, "epoch": 0}, 9)
    curve({"val/accuracy": 0.123456789012345678, "epoch": 0}, 9)
    assert read_csv(path) == [
        {"step": "9", "train/loss": "2.0", "epoch": "0", "val/accuracy": "0.12345678901234568"}
    ]
    curve({"train/loss": 1.0, "epoch": 1}, 19)
    curve({"train/loss": 0.5, "epoch": 1}, 19)
    assert [(row["step"], row["train/loss"], row["val/accuracy"]) for row in read_csv(path)] == [
        ("9", "2.0", "0.12345678901234568"),
        ("19", "0.5", ""),
    ]


def test_lightning_curves_reach_csv_and_wandb_alike(tmp_path: Path) -> None:
    import pytorch_lightning as pl
    import torch

    class Line(pl.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Linear(1, 1)

        def training_step(self, batch: torch.Tensor, _: int) -> torch.Tensor:
            loss = self.layer(batch).square().mean()
            self.log("train/loss", loss, on_step=False, on_epoch=True)
            return loss

        def validation_step(self, batch: torch.Tensor, _: int) -> None:
            self.log("val/loss", self.layer(batch).square().mean())

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.SGD(self.parameters(), lr=0.01)

    tracker = WandbTracker(IDENTITY, CONFIG, tmp_path, mode="offline")
    ones: Any = torch.ones(6, 1)
    data = torch.utils.data.DataLoader[torch.Tensor](ones, batch_size=2)
    for label in ("0-teacher", "1-distill"):
        trainer = pl.Trainer(
            max_epochs=3,
            logger=tracker.lightning_logger(label),
            accelerator="cpu",
            enable_progress_bar=False,
            enable_model_summary=False,
            enable_checkpointing=False,
            num_sanity_val_steps=0,
        )
        trainer.fit(Line(), data, data)
    tracker.finish([], exit_code=0)

    run = read_run(tmp_path)
    for label in ("0-teacher", "1-distill"):
        rows = read_csv(tmp_path / label / "metrics.csv")
        assert [(row["step"], row["epoch"]) for row in rows] == [("2", "0"), ("5", "1"), ("8", "2")]
        for key in ("train/loss", "val/loss"):
            curve = [row[key] for row in run.rows(label[2:]) if key in row]
            assert curve == [float(row[key]) for row in rows]
        assert sorted(path.name for path in (tmp_path / label).iterdir()) == ["metrics.csv"]


def test_csv_tracker_writes_the_union_of_all_keys(tmp_path: Path) -> None:
    tracker = CsvTracker(IDENTITY, CONFIG, tmp_path)
    tracker.record(RECORDS[0])
    tracker.finish(RECORDS, exit_code=0)
    first, last = read_csv(tmp_path / "records.csv")
    assert first.keys() == last.keys() == {key for record in RECORDS for key in record}
    assert (first["prune/rate"], last["prune/rate"]) == ("", "0.9")
    assert last["versions"] == '{"torch": "2"}'


@pytest.mark.parametrize("name", ["csv", "wandb"])
def test_the_configs_build_their_trackers(name: str, tmp_path: Path) -> None:
    from omegaconf import OmegaConf

    from condenser.config.instantiate import build

    path = CONF / f"logger/{name}.yaml"
    settings: Any = OmegaConf.to_container(OmegaConf.load(path))
    make = build(settings, _partial_=True)
    tracker = make(identity=IDENTITY, config=CONFIG, folder=tmp_path)
    tracker.finish(RECORDS, exit_code=0)
    assert (tmp_path / "wandb").exists() == (name == "wandb")


def test_importing_tracking_imports_nothing_heavy() -> None:
    heavy = "{'wandb', 'pytorch_lightning', 'torch'}"
    code = f"import sys, condenser.tracking; print({heavy} & set(sys.modules))"
    assert run_python(code) == "set()"
