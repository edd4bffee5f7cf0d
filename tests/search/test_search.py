"""Searching: what is proposed, kept and chosen, the same after any interruption."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import optuna
import pytest
import yaml
from running import QUICK, config_of, run_in

from condenser.cli import train as cli
from condenser.config import schema
from condenser.errors import CondenserError, ConfigError, DamagedError
from condenser.pipeline.budget import choice as budget
from condenser.pipeline.budget.choice import Point
from condenser.runs import records
from condenser.search import space as spaces
from condenser.search.grid import Grid
from condenser.search.journal import alone
from condenser.search.objectives import Objectives, UnknownObjectiveError
from condenser.search.space import Choice, Interval
from condenser.search.study import Search, Trial

SPACE = {"rate": Interval(0.5, 0.98), "bits": Interval(2, 8), "way": Choice(("a", "b"))}
SAMPLERS: dict[str, Callable[..., Any]] = {
    "tpe": partial(optuna.samplers.TPESampler, n_startup_trials=5, multivariate=True),
    "nsga2": partial(optuna.samplers.NSGAIISampler, population_size=5),
    "random": optuna.samplers.RandomSampler,
}


def search(folder: Path, sampler: str = "tpe", seed: int = 0, asked: int = 0) -> Search:
    return Search(
        folder / "search.journal",
        SPACE,
        ["maximize", "minimize"],
        SAMPLERS[sampler],
        seed,
        {"asked": asked},
    )


def outcome(trial: Trial) -> list[float]:
    rate, bits = trial.params["rate"], trial.params["bits"]
    return [bits / 8 - rate**3 + (trial.params["way"] == "a") / 10, (1 - rate) * bits]


def go_on(found: Search, total: int, steps: int = 1000, batch: int = 3) -> None:
    """Ask and tell; a process that is killed after ``steps`` outcomes asks no more."""
    while (left := total - sum(t.state != "running" for t in found.trials)) > 0:
        for trial in found.ask(min(batch, left)):
            if not steps:
                return
            steps -= 1
            if trial.number == 4:
                found.fail(trial, "no luck")
            else:
                found.tell(trial, outcome(trial))


# --- the study


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_search_that_is_cut_off_anywhere_ends_as_the_undisturbed(
    sampler: str, tmp_path: Path
) -> None:
    whole = search(tmp_path / "whole", sampler)
    go_on(whole, 14)
    for steps in (1, 3, 2, 5):
        go_on(search(tmp_path / "cut", sampler), 14, steps)
    again = search(tmp_path / "cut", sampler)
    go_on(again, 14)
    assert again.trials == whole.trials
    assert [trial.number for trial in whole.trials] == list(range(14))
    assert whole.trials[4].reason == "no luck"
    assert again.front() == whole.front()


def test_another_seed_tries_other_settings(tmp_path: Path) -> None:
    one, other = search(tmp_path / "0"), search(tmp_path / "1", seed=1)
    go_on(one, 3)
    go_on(other, 3)
    assert one.trials[0].params != other.trials[0].params


def test_the_front_is_what_no_other_beats(tmp_path: Path) -> None:
    found = search(tmp_path)
    go_on(found, 20)
    done = [t for t in found.trials if t.values]
    best = [
        t
        for t in done
        if not any(
            o.values != t.values and o.values[0] >= t.values[0] and o.values[1] <= t.values[1]  # type: ignore[index]
            for o in done
        )
    ]
    assert found.front() == best
    assert 1 < len(best) < len(done)


def test_settings_are_tried_once_and_a_space_comes_to_its_end(tmp_path: Path) -> None:
    space = {"bits": Interval(2, 3), "way": Choice(("a", "b"))}
    for number, sampler in enumerate((optuna.samplers.RandomSampler, Grid)):
        found = Search(tmp_path / str(number), space, ["maximize"], sampler, 0, {})
        while asked := found.ask(3):
            for trial in asked:
                found.tell(trial, [trial.params["bits"]])
        tried = [tuple(trial.params.values()) for trial in found.trials]
        assert sorted(tried) == [(2, "a"), (2, "b"), (3, "a"), (3, "b")]
    assert tried == sorted(tried)  # the grid's are in order


@pytest.mark.parametrize(
    ("setting", "low", "high"),
    [
        (Interval(0.5, 0.98), 0.5, 0.98),
        (Interval(1e-4, 1e-2, log=True), 1e-4, 1e-2),
        (Interval(2, 8), 2, 8),
        (Interval(0.1, 0.7, step=0.2), 0.1, 0.7),
    ],
)
def test_numbers_stay_within_and_are_what_a_person_would_type(
    setting: Interval, low: float, high: float, tmp_path: Path
) -> None:
    found = Search(tmp_path / "j", {"n": setting}, ["maximize"], SAMPLERS["random"], 3, {})
    drawn = [trial.params["n"] for trial in found.ask(30)]
    assert all(low <= n <= high for n in drawn)
    assert all(isinstance(n, int) for n in drawn) == (setting.low == 2)
    assert max(len(str(n)) for n in drawn) <= 9
    assert len(drawn) == len(set(drawn)) == min(30, spaces.size({"n": setting}) or 30)


def test_corners_show_every_value() -> None:
    seen = list(spaces.corners(SPACE))
    assert seen[0] == {"rate": 0.5, "bits": 2, "way": "a"}
    assert {key: {point[key] for point in seen} for key in SPACE} == {
        "rate": {0.5, 0.98},
        "bits": {2, 8},
        "way": {"a", "b"},
    }
    assert len(seen) == 4


@pytest.mark.parametrize("setting", [Interval(2, 1), Interval(0, 1, log=True)])
def test_intervals_without_numbers_are_refused(setting: Interval) -> None:
    with pytest.raises(ConfigError, match="prune.rate=interval"):
        setting.check("prune.rate")


# --- the journal


def test_a_torn_last_line_is_taken_off_and_any_other_damage_is_told(tmp_path: Path) -> None:
    found = search(tmp_path)
    go_on(found, 3)
    path = tmp_path / "search.journal"
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"op_code": 4, "tri')
    assert search(tmp_path).trials == found.trials
    assert path.read_bytes() == whole
    for place in range(0, len(whole), 97):
        flipped = bytearray(whole)
        flipped[place] ^= 4
        path.write_bytes(flipped)
        with pytest.raises(DamagedError, match=r"search.journal:\d+: .* delete the file"):
            search(tmp_path)
    path.write_bytes(b"".join(whole.splitlines(keepends=True)[1:]))
    with pytest.raises(DamagedError):
        search(tmp_path)


def test_a_journal_is_of_one_search(tmp_path: Path) -> None:
    go_on(search(tmp_path, asked=1), 1, steps=0)  # nothing came of it: it may be mended
    go_on(search(tmp_path, asked=2), 1)
    with pytest.raises(CondenserError, match=r"another asked, seed; give this one a name="):
        search(tmp_path, asked=3, seed=1)


def test_two_at_once_do_not_share_a_journal(tmp_path: Path) -> None:
    with alone(tmp_path / "j"), pytest.raises(CondenserError, match="another search is at work"):  # noqa: SIM117
        with alone(tmp_path / "j"):
            pass


# --- objectives


@pytest.mark.parametrize(
    ("maximize", "minimize", "said"),
    [
        (["val/acuracy"], [], "maximize=val/acuracy: .* did you mean val/accuracy"),
        ([], ["siz/packed_bytes"], "did you mean size/packed_bytes"),
        (["test/accuracy"], [], "maximize=test/accuracy: .* not of the test images"),
        (["val/accuracy"], ["val/accuracy"], "each key once"),
        ([], [], "maximize=.*val/accuracy"),
    ],
)
def test_bad_objectives_are_told_before_anything_runs(
    maximize: list[str], minimize: list[str], said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        Objectives(maximize, minimize).check("hydra.sweeper.")


def test_objectives_are_read_from_a_record() -> None:
    record = records.Record({"val/accuracy": 0.5, "prune/achieved": 0.9})
    wanted = Objectives(["val/accuracy"], ["prune/achieved"])
    wanted.check("")
    assert wanted.read(record) == [0.5, 0.9]
    with pytest.raises(UnknownObjectiveError, match="did you mean prune/achieved"):
        Objectives([], ["prune/achived"]).read(record)
    with pytest.raises(CondenserError, match="size/packed_bytes is None"):
        Objectives([], ["size/packed_bytes"]).read(record)


# --- the sweeper

SWEEP = (
    *(
        "-m",
        "hydra/sweeper=search",
        "hydra/launcher=basic",
        *QUICK,
        "recipe=[teacher,{prune:{teachers:dense}}]",
    ),
    *("model@teacher.model=mlp_32", "logger=csv", "name=s", "runs=."),
)


class Typed(NamedTuple):
    code: int
    out: str
    err: str


Sweep = Callable[..., Typed]


@pytest.fixture
def sweep(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Sweep:
    """The command line with these words, in a folder of the test's own."""
    monkeypatch.chdir(tmp_path)

    def type_(*words: str) -> Typed:
        monkeypatch.setattr(sys, "argv", ["train.py", *SWEEP, *words])
        code = 0
        try:
            cli.main()
        except SystemExit as stopped:
            code = int(stopped.code or 0)
        return Typed(code, *capsys.readouterr())

    return type_


def test_a_sweep_searches_and_goes_on_where_it_was(tmp_path: Path, sweep: Sweep) -> None:
    space = ("prune.rate=interval(0.1,0.995)", "prune.updates=range(1,4)", "prune=magnitude,lamp")
    first = sweep(*space, "hydra.sweeper.n_trials=2", "hydra.sweeper.jobs=2")
    assert first.code == 0, first.err
    whole = sweep(*space, "hydra.sweeper.n_trials=3")
    assert whole.code == 0, whole.err
    assert "trial 3/3" in whole.out
    assert "trial 2/3" not in whole.out
    found = json.loads((tmp_path / "s/front.json").read_text())
    assert found["objectives"] == ["val/accuracy", "size/packed_bytes"]
    trials = found["trials"]
    assert [trial["trial"] for trial in trials] == [1, 2, 3]
    marks = {}
    for trial in trials:
        if trial["state"] == "done":
            last = records.final(records.read([tmp_path / "s" / trial["run"]]))
            assert last["prune/rate"] == trial["params"]["prune.rate"]
            assert last["val/accuracy"] == trial["val/accuracy"]
            assert last["size/packed_bytes"] == trial["size/packed_bytes"]
            marks[last["search/trial"]] = last["search/front"]
    assert marks == {t["trial"]: t["front"] for t in trials if t["state"] == "done"}
    assert any(marks.values())


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["prune.rate=0.5"], "nothing to search: give a setting several values"),
        (["prune.rat=0.5,0.6"], "prune.rat: no such key.*did you mean rate"),
        (["prune.rate=interval(0.5,1.5)"], "prune.rate=1.5: must be < 1"),
        (
            ["prune.rate=0.5,0.6", "hydra.sweeper.n_trials=0"],
            "hydra.sweeper.n_trials=0: must be >= 1",
        ),
        (["prune.rate=0.5,0.6", "hydra.sweeper.minimize=[size/byte]"], "minimize=size/byte"),
    ],
)
def test_a_bad_search_is_told_before_the_first_job(
    words: list[str], said: str, tmp_path: Path, sweep: Sweep
) -> None:
    done = sweep(*words)
    assert done.code == 1
    assert re.search(said, done.err), done.err
    assert len(done.err.splitlines()) == 1, done.err
    assert not list(tmp_path.rglob("*.journal"))


# --- a budget

POINTS = [
    Point(0.99, 9000),
    Point(0.95, 500, [{"prune": {"rate": 0.9}}], 0),
    Point(0.97, 800, [{"share": {"bits": 4}}], 1),
    Point(0.98, 1200, [], 2),
]


@pytest.mark.parametrize(
    ("most", "least", "chosen"),
    [(None, 0.96, 1), (1000, None, 1), (1000, 0.96, 1), (None, None, None), (600, 0.9, 0)],
)
def test_the_choice_is_the_smallest_that_is_accurate_enough(
    most: int | None, least: float | None, chosen: int | None
) -> None:
    point = budget.choose(POINTS, {"packed_bytes": most, "min_accuracy": least})
    assert point is not None
    assert point.trial == chosen


def test_a_budget_that_nothing_meets_is_told_what_is_nearest() -> None:
    limits = {"packed_bytes": 1000, "min_accuracy": 0.975}
    assert budget.choose(POINTS, limits) is None
    said = str(budget.refusal(POINTS, limits))
    assert "none of 3 networks keeps to it" in said
    assert "97.00% in 800 bytes (share.bits=4)" in said
    assert "98.00% in 1,200 bytes" in said
    assert "\n" not in said


WORDS = ("recipe=budget", "model@teacher.model=mlp_32", "model@student.model=mlp_32")
WORDS += ("budget.rate=[0.3,0.8]",)


def test_a_budget_finds_a_network_and_another_budget_the_same_trials(tmp_path: Path) -> None:
    few = run_in(tmp_path, *WORDS, "budget.n_trials=2", "budget.packed_bytes=100_000")
    trials = [r for r in few if "search/trial" in r]
    assert [r["stage"] for r in few[:2]] == ["teacher", "distill"]
    assert records.final(few)["stage"] in ("share", "quantize", "distill")
    least = min(float(r["val/accuracy"] or 0) for r in trials)
    more = run_in(
        tmp_path, *WORDS, "budget.n_trials=3", f"budget.min_accuracy={least}", run="other"
    )
    old = {r["key"] for r in trials}
    assert {r["key"] for r in more if "search/trial" in r} > old
    assert all(r["cost/reused"] for r in more if r["key"] in old)
    last = records.final(more)
    tried = [r for r in more if "search/trial" in r]
    assert len({r["key"] for r in tried}) == len(tried) == 3
    fit = [r for r in tried if r["val/accuracy"] >= least]  # type: ignore[operator]
    assert last["size/packed_bytes"] == min(r["size/packed_bytes"] for r in fit)  # type: ignore[type-var]
    assert last["search/chosen"] is last["search/front"] is True
    saved = schema_of(tmp_path / "default/other/config.yaml")
    assert "budget" not in saved["recipe"]["stages"]
    with pytest.raises(CondenserError, match=r"min_accuracy=1.0 with budget.packed_bytes=10: none"):
        run_in(
            *(tmp_path, *WORDS, "budget.n_trials=3", "budget.min_accuracy=1.0"),
            "budget.packed_bytes=10",
            run="none",
        )
    kept = records.read([tmp_path / "default/none"])
    assert [r["search/trial"] for r in kept if "search/trial" in r] == [1, 2, 3]


def schema_of(path: Path) -> dict[str, Any]:
    from condenser.pipeline.reopen import saved_config

    config = saved_config(path.parent)
    schema.check(config)
    return config


def test_a_trial_that_breaks_costs_itself_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from condenser.pipeline.stages.compression import Quantize

    whole, calls = Quantize.run, []

    def broken_once(*given: Any) -> Any:
        calls.append(given)
        if len(calls) == 1:
            raise RuntimeError("no memory")
        return whole(*given)

    monkeypatch.setattr(Quantize, "run", broken_once)
    found = run_in(tmp_path, *WORDS, "budget.n_trials=2", "budget.coding=[quantize]")
    assert "trial 1: failed: RuntimeError('no memory')" in capsys.readouterr().out
    assert {r["search/trial"] for r in found if "search/trial" in r} <= {2}


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("budget.min_accuracy=98", "budget.min_accuracy=98: must be <= 1"),
        ("budget.packed_bytes=0", "budget.packed_bytes=0: must be >= 1"),
        ("budget.n_trials=0", "budget.n_trials=0: must be >= 1"),
        ("budget.coding=[shar]", "budget.coding.0=shar: unknown; did you mean share"),
        ("budget.rate=[0.5]", "budget.rate=.*a list of at least 2"),
        ("budget.rate=[0.9,0.5]", "budget.rate=interval"),
        ("budget.bits=[2,9]", "budget.bits.1=9: must be <= 8"),
        ("recipe=[budget]", r"recipe.stages\[0\]=budget: needs a model"),
    ],
)
def test_a_bad_budget_is_told_before_anything_runs(
    composed: dict[str, Any], word: str, said: str
) -> None:
    from condenser.pipeline.plan import make_plan

    key, _, value = cli.lists_are_stages(word).partition("=")
    section, _, last = key.partition(".")
    config = {**composed, section: {**composed[section], last: yaml.safe_load(value)}}

    def checked() -> None:
        schema.check(config)
        make_plan(config)

    with pytest.raises(CondenserError, match=said):
        checked()


@pytest.fixture(scope="module")
def composed() -> dict[str, Any]:
    return config_of("recipe=budget")


@pytest.mark.parametrize("name", ["tpe", "nsga2", "random", "grid"])
def test_every_shipped_sampler_draws(name: str, tmp_path: Path) -> None:
    from condenser.config.instantiate import build

    made = build(yaml.safe_load((cli.CONF / f"sampler/{name}.yaml").read_text()))
    found = Search(tmp_path / "j", {"bits": Interval(2, 6)}, ["maximize"], made, 0, {})
    assert len(found.ask(2)) == 2
    if name == "grid":
        with pytest.raises(ConfigError, match="an interval has no end"):
            Search(tmp_path / "k", SPACE, ["maximize"], made, 0, {})
