"""Experiments of tuned arms: equal training, questions that name arms, tests as scipy has them."""

from __future__ import annotations

import json
import re
import runpy
from pathlib import Path
from typing import Any

import arms as sides
import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from places import EXPERIMENTS
from running import config_of
from scipy.stats import ttest_rel

from condenser.cli import train as cli
from condenser.pipeline.plan import make_plan

SCRIPTS = sorted(EXPERIMENTS.glob("*/run.py"))


def arms_of(script: Path) -> dict[str, Any]:
    found: dict[str, Any] = runpy.run_path(str(script))["ARMS"]
    return found


def test_every_arm_of_joint_trains_for_as_long() -> None:
    """24 epochs, whatever is done in them and in which order."""
    usual = ["experiment=joint", "teacher.load=x"]
    configs = {False: config_of(*usual), True: config_of(*usual, "quantize=joint")}
    for name, arm in arms_of(EXPERIMENTS / "joint/run.py").items():
        (tried, made) = (cli.lists_are_stages(w) for w in (arm.overrides[0], arm.after[0]))
        both = OverridesParser.create().parse_overrides([tried, made])
        config = {**configs["quantize=joint" in arm.overrides]}
        lengths = []
        for override in both:
            plan = make_plan({**config, "recipe": {"stages": override.value()}})
            lengths.append(sum(s.settings["optim"]["epochs"] for s in plan.stages[1:] if s.trains))
        assert lengths == [24, 24], name


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.parent.name)
def test_questions_are_of_arms_and_tries_are_equal(script: Path) -> None:
    arms = arms_of(script)
    pairs = json.loads((script.parent / "pairs.json").read_text())
    assert {name for pair in pairs for name in pair} <= arms.keys()
    assert len({tuple(pair) for pair in pairs}) == len(pairs)
    assert len({len(arm.tries.split(",")) for arm in arms.values()}) == 1


def records(name: str, accuracies: list[float], size: int) -> list[str]:
    return [
        json.dumps(
            {
                "lineage": {"run": f"{name} seed={seed} try=0.1", "seed": seed, "experiment": "x"},
                "results": {
                    "test/accuracy": accuracy,
                    "val/accuracy": accuracy + 0.01,
                    "size/packed_bytes": size,
                    "size/file_bytes": 2 * size,
                },
            }
        )
        for seed, accuracy in enumerate(accuracies, start=1)
    ]


def test_arms_stand_side_by_side(tmp_path: Path) -> None:
    a, b, c = [0.8, 0.82, 0.83], [0.79, 0.80, 0.82], [0.7, 0.75, 0.71]
    teacher = json.dumps({"lineage": {"run": "teacher", "seed": 0}, "results": {}})
    lines = [teacher, *records("A-B", a, 1000), *records("B", b, 500), *records("C", c, 3000)]
    (tmp_path / "records.jsonl").write_text("\n".join(lines) + "\n")
    (tmp_path / "pairs.json").write_text('[["A-B", "B"], ["A-B", "C"], ["A-B", "not run"]]')
    sides.write(tmp_path)
    assert "| A-B | 81.67 ± 1.53 | 82.67 ± 1.53 | 1,000 | 2,000 | 0.1 | 3 |" in (
        (tmp_path / "arms.md").read_text()
    )
    rows = [line.split(",") for line in (tmp_path / "tests.csv").read_text().splitlines()[1:]]
    ps = sorted(((ttest_rel(a, other).pvalue, name) for other, name in ((b, "B"), (c, "C"))))
    for row, (p, name), times in zip(rows, ps, (2, 1), strict=True):
        assert row[1] == name and float(row[5]) == pytest.approx(p, rel=0.01)
        assert float(row[6]) >= min(1, times * float(row[5])) * 0.99
    assert [p.name for p in sides.front(sides.points(sides.read(tmp_path), sides.PACKED))] == [
        *("B", "A-B")
    ]
    drawn = (tmp_path / "arms.svg").read_text()
    assert drawn == (sides.write(tmp_path), (tmp_path / "arms.svg").read_text())[1]
    assert len(re.findall("<!-- (A-B|B|C) -->", drawn)) == 3
