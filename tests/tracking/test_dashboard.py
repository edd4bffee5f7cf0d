"""The dashboard shows what trackers log, and is a file where there is no W&B."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from wandb_file import read_run
from wandb_server import serving

from condenser.cli import dashboard as command
from condenser.runs import records
from condenser.tracking import WandbTracker, identity
from condenser.tracking import wandb_dashboard as dashboard
from condenser.tracking.wandb_tables import SIZE


@pytest.fixture(autouse=True)
def own_folder(own_surroundings: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def record(run: str, position: int, stage: str, **more: Any) -> dict[str, Any]:
    known = {"run": run, "experiment": "e", "stage": stage, "position": position, "model": "m"}
    known |= {"test/accuracy": 0.5, "size/file_bytes": 10, "size/packed_bytes": 8, "seed": 0}
    known |= {"compute/nonzero_macs": 7, "latency/ms_b1": 0.1, "cost/train_seconds": 1.0}
    return known | {"key": f"{position}", "distill/temperature": 4.0, "distill/alpha": 0.1} | more


SWEEP = [
    record(f"r{rate}", position, stage, **{"prune/rate": rate, "prune/scope": "all"})
    for rate in (0.5, 0.9)
    for position, stage in enumerate(("teacher", "prune", "baseline"))
]


def panels(spec: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Kind and config of every panel of a workspace."""
    for section in spec["section"]["panelBankConfig"]["sections"]:
        for panel in section["panels"]:
            yield panel["viewType"], panel["config"]


def shown(out: Path) -> dict[str, Any]:
    spec: dict[str, Any] = json.loads(out.read_text())["view"]["spec"]
    return spec


def test_every_panel_names_what_a_run_logs(tmp_path: Path) -> None:
    """A key that no run has is an empty panel, and W&B says nothing of it."""
    last = [{**SWEEP[0], "prune/scope": "all"}, SWEEP[1]]
    who = identity(experiment="e", recipe="r", run="r")
    tracker = WandbTracker(who, {}, tmp_path / "run", mode="offline")
    for position, one in enumerate(last):
        for write in tracker.writers(f"{position}-{one['stage']}"):
            write({"train/loss": 0.5, "val/accuracy": 0.25}, 3)
        tracker.record(one)
    tracker.finish(last, 0)
    logged = read_run(tmp_path / "run")
    table = json.loads(next((tmp_path / "run").rglob("records_*.table.json")).read_text())

    made = dashboard.contents(last)
    view = json.loads(dashboard.as_json(dashboard.workspace("t", "p", "me", made)))["view"]
    kinds = []
    for kind, config in panels(view["spec"]):
        kinds.append(kind)
        if kind == "Scatter Plot":
            keys = [config["xAxis"], config["yAxis"]]
            assert config["showMaxYAxisLine"] and config["xAxisLogScale"]
            assert all(key.removeprefix("summary:") in logged.summary for key in keys)
        elif kind == "Vega2":
            assert set(config["fieldSettings"].values()) <= set(table["columns"])
        elif kind == "Parallel Coordinates Plot":
            accessors = [column["accessor"] for column in config["columns"]]
            assert accessors[-2:] == [f"summary:{SIZE}", "summary:test/accuracy"]
        else:
            (row,) = [row for row in logged.history if config["xAxis"] in row]
            assert set(config["metrics"]) <= set(row)
    assert kinds == [
        *["Scatter Plot"] * 4,
        "Vega2",
        "Parallel Coordinates Plot",
        *["Run History Line Plot"] * 4,
    ]


def test_it_is_about_the_runs_that_were_named(tmp_path: Path) -> None:
    for one in (SWEEP[:3], SWEEP[3:]):
        folder = tmp_path / "runs" / "e" / str(one[0]["run"])
        records.write(folder, map(records.Record, one))
        rate = one[0]["prune/rate"]
        text = f"prune: {{rate: {rate}, scope: all}}\nrun: {rate}\n"
        (folder / "config.yaml").write_text(text)
    assert command.main(["runs", "--offline", "--out", "deep/d.json"]) == 0
    found = list(panels(shown(tmp_path / "deep/d.json")))
    (parallel,) = [config for kind, config in found if kind.startswith("Parallel")]
    axes = [column["accessor"] for column in parallel["columns"]]
    assert axes == ["summary:prune/rate", f"summary:{SIZE}", "summary:test/accuracy"]
    lines = [config["xAxis"] for kind, config in found if kind == "Run History Line Plot"]
    assert lines == ["teacher/step"] * 2 + ["prune/step"] * 2


def test_without_a_key_it_is_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main([]) == 0
    said = capsys.readouterr().out
    assert "nothing was sent" in said and "wandb login" in said
    whole = json.loads((tmp_path / "dashboard.json").read_text())
    assert whole["charts"] == {dashboard.HEAT_MAP: dashboard.heat_map()}
    assert whole["view"]["displayName"] == "Condenser"


def test_online_it_is_saved_whole(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with serving() as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        assert command.main(["--title", "Mine", "--project", "p"]) == 0
        assert capsys.readouterr().out.startswith(f"{server.url}/me/p?nw=")
    (view,), (chart,) = server.views, server.charts
    assert (view["displayName"], view["projectName"], view["entityName"]) == ("Mine", "p", "me")
    assert json.loads(chart["spec"]) == dashboard.heat_map()
    (heat,) = [config for kind, config in panels(view["spec"]) if kind == "Vega2"]
    assert heat["panelDefId"] == f"{chart['entity']}/{chart['chartName']}"
    assert not (tmp_path / "dashboard.json").exists() and server.unknown == []


def test_a_server_that_does_not_answer_is_a_line_and_a_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(dashboard, "SECONDS", 1)
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("WANDB_API_KEY", "a" * 40)
    assert command.main([]) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "W&B did not take the dashboard" in said
    assert "it is in dashboard.json" in said and shown(tmp_path / "dashboard.json")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--offline", "--out", "/dev/null/d.json"], "/dev/null/d.json: cannot be written"),
        (["--offline", "nowhere"], "nowhere: no such file or folder"),
    ],
)
def test_mistakes_are_a_line(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command.main(words) == 1
    complained = capsys.readouterr().err
    assert complained.startswith(f"dashboard: {said}") and complained.count("\n") == 1
