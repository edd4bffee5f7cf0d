"""A sweep as a population: every job has what it would have alone, and what cannot be is named."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.utils import JobStatus
from hydra.types import RunMode
from omegaconf import DictConfig
from places import CONF, ROOT
from running import QUICK, run_in

from condenser.cli import train as cli
from condenser.runs import records, status
from condenser.runs.records import Record
from condenser.sweep import launch as processes
from condenser.sweep import population
from condenser.sweep.jobs import Job, compose
from condenser.sweep.launch import Settings

RECIPE = "recipe=[teacher,distill,prune]"
COMMON = (*QUICK, "name=p", RECIPE, "data.limit=200", "optim.batch_size=50")
OTHERS = ("run", "date", "command", "config")
OTHERS += ("size/distinct",)  # two weights may be the same but for the last bit
MEASURED = ("cost/", "latency/", "energy/")
PLAIN = Settings(jobs=1, timeout_min=None, retries=0, grace_s=1.0)


def sweep(folder: Path, *each: Sequence[str]) -> tuple[list[Job], DictConfig]:
    common = [cli.lists_are_stages(word) for word in (*COMMON, f"runs={folder}")]
    words = [[*common, *own] for own in each]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        loader = GlobalHydra.instance().config_loader()
        master = loader.load_configuration("train", common, RunMode.MULTIRUN)
        return compose(loader, master, words), master


def results(found: Sequence[Record]) -> list[dict[str, Any]]:
    return [
        {k: v for k, v in one.items() if k not in OTHERS and not k.startswith(MEASURED)}
        for one in found
    ]


def test_every_job_is_as_alone_and_nothing_is_trained_twice(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    rest: list[Job] = []
    told: Any = lambda jobs, *_: rest.extend(jobs) or [None] * len(jobs)  # noqa: E731
    monkeypatch.setattr(processes, "launch", told)
    own = [
        ("seed=0", "distill.temperature=1"),
        ("seed=0", "distill.temperature=4", "prune.rate=0.9"),
        ("seed=1", "optim.lr=1e9"),
    ]
    cut = ("seed=0", "recipe.stages=[teacher,{share:{epochs:1}}]")
    jobs, master = sweep(tmp_path / "together", *own, cut)
    done = population.launch_together(jobs, master, PLAIN, 16)
    said = capsys.readouterr()
    assert [job.number for job in rest] == [3]
    assert "as processes: 1 of 4 jobs (" in said.out
    assert "share trains in a way of its own" in said.out
    ends = [JobStatus.COMPLETED] * 2 + [JobStatus.FAILED]
    assert [one.status for one in done[:3]] == ends
    assert "training diverged in epoch 1" in said.err and "optim.lr" in said.err
    for job, words in zip(jobs[:2], own, strict=False):
        alone = run_in(tmp_path / "alone", *COMMON[4:], *words, run="alone")
        mine = records.read([job.folder / records.FILE])
        for one, other in zip(results(mine), results(alone), strict=True):
            assert one.keys() == other.keys()
            number = {k for k, v in other.items() if isinstance(v, float)}
            assert {k: v for k, v in one.items() if k not in number} == {
                k: v for k, v in other.items() if k not in number
            }
            for key in number:
                assert one[key] == pytest.approx(other[key], rel=1e-3, abs=1e-5), key
        curves = sorted(path.relative_to(job.folder) for path in job.folder.glob("*/metrics.csv"))
        assert [str(path) for path in curves] == [
            f"{n}-{word}/metrics.csv"
            for n, word in enumerate(("teacher", "distill", "prune"))
            if not mine[n]["cost/reused"]
        ]
    assert len(list((tmp_path / "together/.store").glob("teacher-*[!k]"))) == 1
    assert status.read(jobs[2].folder)["state"] == "failed"
    assert population.launch_together(jobs[:2], master, PLAIN, 16)
    assert capsys.readouterr().out.count("done before") == 2


def test_jobs_are_of_one_population_where_numbers_of_a_method_differ(tmp_path: Path) -> None:
    jobs, _ = sweep(
        tmp_path,
        ("seed=0", "optim.lr=0.1", "prune.rate=0.5"),
        ("seed=1", "distill.alpha=0.3", "teacher.epochs=4"),
        ("seed=2", "distill=dkd"),
        ("seed=3", "model@student.model=mlp_64"),
        ("seed=4", "optim.batch_size=20"),
        ("seed=5", "distill=dkd", "distill.temperature=2"),
        ("seed=6", "trainer.devices=2"),
        ("seed=7", "trainer.gradient_clip_val=1.0"),
        ("seed=8", "optim.optimizer._target_=torch.optim.RMSprop"),
    )
    groups, apart = population.sorted_out(jobs, 16)
    assert [[job.number for job in group] for group in groups] == [[0, 1], [2, 5]]
    assert {why: [job.number for job in some] for why, some in apart.items()} == {
        "trainer.devices=2": [6],
        "trainer.gradient_clip_val=1.0": [7],
        "teacher is trained by torch.optim.RMSprop": [8],
        "no other job differs from it in numbers alone": [3, 4],
    }
    halves, _ = population.sorted_out(jobs[:2] * 2, 2)
    assert [len(group) for group in halves] == [2, 2]


def test_the_jobs_of_the_document_are_one_population(tmp_path: Path) -> None:
    page = (ROOT / "docs/how-to/sweeps.md").read_text(encoding="utf-8")
    (line,) = re.findall(r"^    python src/train.py -m (hydra/launcher=population .*)$", page, re.M)
    words = [word for word in shlex.split(line) if not word.startswith("hydra")]
    lists = [[f"{key}={one}" for one in values.split(",")] for key, values in map(split, words)]
    jobs, _ = sweep(tmp_path, *product(*lists))
    groups, apart = population.sorted_out(jobs, 16)
    assert [len(group) for group in groups] == [16] and not apart


def split(word: str) -> tuple[str, str]:
    key, _, values = word.partition("=")
    return key, values
