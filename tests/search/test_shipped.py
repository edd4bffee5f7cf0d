"""Budgets of what is shipped: the file is within them, and trials begin near them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from running import run_in

from condenser.errors import CondenserError
from condenser.pipeline.budget.choice import Point, choose
from condenser.pipeline.budget.shipped import Sizes

DENSE = {"file_bytes": 110_000.0, "latency_ms": 2.0, "macs": 4e6}


def test_what_is_kept_is_solved_from_what_one_file_costs() -> None:
    sizes = Sizes(DENSE, graph=10_000, least=0.01)
    assert sizes.kept({"file_bytes": 60_000}, 8, 1.0) == 0.5
    assert sizes.kept({"file_bytes": 60_000}, 4, 1.0) == 1.0
    assert sizes.kept({"file_bytes": 60_000, "macs": 1e6}, 8, 1.0) == 0.25
    assert sizes.kept({"latency_ms": 1.0}, 8, 0.5) == 0.25
    assert sizes.kept({"file_bytes": 9_000}, 8, 1.0) == 0.01
    full = sizes.learn({"file_bytes": 60_000}, 8, {"file_bytes": 70_000})
    assert full == pytest.approx(70 / 60)
    assert sizes.kept({"file_bytes": 60_000}, 8, 1.0) == pytest.approx(0.5 * 48.8 / 60, abs=1e-4)


def test_every_limit_counts() -> None:
    cheap = {"file_bytes": 900, "latency_ms": 3.0, "macs": 50, "packed_bytes": 500}
    better = {**cheap, "file_bytes": 950, "latency_ms": 5.0}
    points = [Point(0.9, 900, [], 0, cheap), Point(0.95, 950, [], 1, better)]
    most = {"file_bytes": 1000, "min_accuracy": None}
    assert choose(points, most) is points[1]
    assert choose(points, {**most, "latency_ms": 4}) is points[0]
    assert choose(points, {**most, "packed_bytes": 400}) is None


WORDS = ("recipe.stages=[teacher,budget]", "model@teacher.model=mlp_32", "quantize=int8", "cut=l1")
WORDS += ("export.batch=2", "budget.teachers=auto", "budget.objective=labels")


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Any]]:
    folder = tmp_path_factory.mktemp("shipped")
    return folder, run_in(folder, *WORDS, "budget.file_bytes=4_000", "budget.n_trials=2")


def test_a_budget_of_bytes_ships_a_file_of_at_most_so_many(found: tuple[Path, list[Any]]) -> None:
    folder, records = found
    last = records[-1]
    bundle = folder / "default/test/bundle"
    facts = json.loads((bundle / "model.json").read_text("utf-8"))
    assert last["search/chosen"] and last["stage"] == "export"
    assert (
        (bundle / "model.onnx").stat().st_size == facts["bytes"] == last["size/file_bytes"] <= 4000
    )
    within = [r for r in records if "search/trial" in r and r["size/file_bytes"] <= 4000]
    assert last["val/accuracy"] == max(r["val/accuracy"] for r in within), "the best that fits"
    assert last["search/front"] is True


def test_trials_begin_near_it(found: tuple[Path, list[Any]]) -> None:
    first = next(r for r in found[1] if r.get("search/trial") == 1 or r.get("search/chosen"))
    assert 0.7 < first["size/file_bytes"] / 4000 < 1.2


def test_how_long_it_may_take_is_said_before_and_a_rerun_trains_nothing(
    found: tuple[Path, list[Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    folder, records = found
    again = run_in(folder, *WORDS, "budget.file_bytes=4_000", "budget.n_trials=2", run="again")
    said = capsys.readouterr().out
    assert said.index("2 trials of ") < said.index("trial   1")
    assert {r["key"] for r in again} == {r["key"] for r in records}
    assert all(r["cost/reused"] for r in again)


def test_a_budget_that_no_file_keeps_to_says_what_is_nearest(tmp_path: Path) -> None:
    with pytest.raises(
        CondenserError, match=r"budget.file_bytes=100: no network could be made: cut"
    ):
        run_in(tmp_path, *WORDS, "budget.file_bytes=100", "budget.n_trials=1")
