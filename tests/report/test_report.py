"""Records survive crashes and damage; the report says what NumPy and brute force say."""

from __future__ import annotations

import csv
import io
import itertools
import json
import os
import random
import subprocess
import sys
import warnings
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from places import EXPERIMENTS, SRC
from recorded import recorded
from scipy import stats

from condenser import report
from condenser.errors import CondenserError
from condenser.functional.pareto import front
from condenser.report import text
from condenser.report.analysis import checks, columns, labels, pairs, quantities, statistics
from condenser.report.figures import curve, methods, paper, plates
from condenser.report.figures.label_placement import Box, place, shared
from condenser.report.figures.style import looks
from condenser.runs import records
from condenser.runs.records import Record

SCRIPT = SRC / "report.py"
# (stage, accuracy, parameters that are not zero, bytes, settings)
DISTILL = {"distill/temperature": 4.0, "distill/alpha": 0.1, "distill/method": "KD"}
PRUNE = {**DISTILL, "prune/rate": 0.8, "prune/criterion": "Magnitude"}
STAGES: tuple[tuple[str, float, int, float, dict[str, Any]], ...] = (
    ("teacher", 0.99, 431_080, 1_724_320.0, {}),
    ("student", 0.971, 27_000, 110_000.0, {}),
    ("distill", 0.981, 27_000, 110_000.0, DISTILL),
    ("prune", 0.978, 5_400, 31_000.0, PRUNE),
    ("quantize", 0.977, 5_400, 9_000.0, {**PRUNE, "quantize/bits": 8}),
)


def made(stage: str, seed: int = 0, **metrics: Any) -> Record:
    """A record with what every record has; facts by key with ``__`` for the slash."""
    found = {key.replace("__", "/"): value for key, value in metrics.items()}
    group = {"group": f"{stage}-{found.get('prune/rate')}", "run": f"seed={seed}", "data": "digits"}
    return recorded({"stage": stage, "seed": seed, "model": "mlp", **group, **found})


def run(seed: int, experiment: str = "chain") -> list[Record]:
    noise = random.Random(seed)
    return [
        made(
            stage,
            seed,
            experiment=experiment,
            position=position,
            model="lenet5" if stage == "teacher" else "lenet5_tenth",
            test__accuracy=accuracy + noise.gauss(0, 0.002),
            size__file_bytes=size,
            size__params=431_080 if stage == "teacher" else 27_000,
            size__nonzero=alive,
            latency__ms_b1=None if stage == "quantize" else 0.1,
            **settings,
        )
        for position, (stage, accuracy, alive, size, settings) in enumerate(STAGES)
    ]


@pytest.fixture
def chain() -> list[Record]:
    return [record for seed in range(3) for record in run(seed)]


# records


def test_complete_has_every_key_first_and_in_one_order() -> None:
    one = Record({"zeta/b": 1, "seed": 3, "alpha/a": None})
    other = Record({"alpha/a": None, "zeta/b": 1, "seed": 3}, ["alpha/a"])
    assert list(other.settings) == ["alpha/a"] and "zeta/b" in other.results
    assert list(one) == list(other) == [*records.REQUIRED, "alpha/a", "zeta/b"]
    assert one["seed"] == 3
    assert one["test/accuracy"] is None


@pytest.mark.parametrize(
    "value", [float("nan"), float("inf"), -float("inf"), [1], {"a": 1}, np.float32(1), Path("x")]
)
def test_complete_names_the_key_of_a_value_that_json_cannot_hold(value: object) -> None:
    with pytest.raises(ValueError, match="test/nll"):
        Record({"test/nll": value})


def test_what_is_written_is_read(tmp_path: Path) -> None:
    text_: dict[str, Any] = {
        "claim": 'a "quoted", ünïcode\nline\u2028 end',
        "cost/reused": True,
        "x/y": 1e-300,
    }
    written = [made("teacher", **text_), made("prune", seed=2**40)]
    records.write(tmp_path / "new" / "folder", written)
    assert records.read([tmp_path]) == written


def test_a_crash_while_writing_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    records.write(tmp_path, [made("teacher")])
    before = (tmp_path / records.FILE).read_bytes()

    def crash(source: object, target: object) -> None:
        assert (tmp_path / records.FILE).read_bytes() == before
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", crash)
        with pytest.raises(KeyboardInterrupt):
            records.write(tmp_path, [made("teacher"), made("prune")])
    assert (tmp_path / records.FILE).read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == [records.FILE]
    with pytest.raises(ValueError, match="nan"):
        records.write(tmp_path, [Record({"test/ece": float("nan")})])
    assert (tmp_path / records.FILE).read_bytes() == before


def test_lines_are_on_disk_before_they_take_the_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    real = {name: getattr(os, name) for name in ("fsync", "replace")}

    def noted(name: str, *arguments: Any) -> Any:
        calls.append(name)
        return real[name](*arguments)

    for name in real:
        monkeypatch.setattr(os, name, partial(noted, name))
    records.write(tmp_path, [made("teacher")])
    assert calls[:2] == ["fsync", "replace"]


def test_damaged_lines_are_named_and_the_rest_is_kept(tmp_path: Path) -> None:
    records.write(tmp_path, [made("teacher"), made("prune")])
    file = tmp_path / records.FILE
    first, last = file.read_bytes().splitlines()
    foreign = [b'{"run": "r", "sta', b"[1, 2]", b'{"a": 1}', b"\xff\xfe", b"[" * 10**5]
    nan = last.replace(b'"test/ece": null', b'"test/ece": NaN')
    file.write_bytes(b"\n".join([first, *foreign, b"", nan, last]))
    with pytest.warns(records.RecordWarning) as skipped:
        found = records.read([tmp_path])
    assert [record["stage"] for record in found] == ["teacher", "prune"]
    numbers = [str(warning.message).split(":")[1] for warning in skipped]
    assert numbers == ["2", "3", "4", "5", "6", "8"]
    assert all(str(file) in str(warning.message) for warning in skipped)


def test_overlapping_paths_and_copies_count_once(tmp_path: Path, chain: list[Record]) -> None:
    runs = tmp_path / "runs"
    for seed in range(3):
        records.write(runs / "chain" / f"seed={seed}", run(seed))
    records.write(runs / ".store" / "abc", [made("hidden")])
    records.write(tmp_path / "copy", run(0))
    one = runs / "chain" / "seed=1"
    assert records.read([runs]) == chain
    assert records.read([one, runs, one / records.FILE, tmp_path / "copy"]) == [
        *run(1),
        *run(0),
        *run(2),
    ]


@pytest.mark.parametrize("path", ["runs/kd_swep", "rnus/kd_sweep", "runs/empty", "runs/note/x"])
def test_a_path_without_records_names_the_one_that_was_meant(tmp_path: Path, path: str) -> None:
    records.write(tmp_path / "runs" / "kd_sweep", [made("teacher")])
    (tmp_path / "runs" / "empty").mkdir()
    (tmp_path / "runs" / "empty_too").mkdir()
    (tmp_path / "runs" / "note").write_text("no folder")
    meant = {"runs/kd_swep": "kd_sweep.$", "rnus/kd_sweep": "runs.$", "runs/empty": "empty_too.$"}
    with pytest.raises(CondenserError, match=meant.get(path, "no such file")) as error:
        records.read([tmp_path, tmp_path / path])
    assert "\n" not in str(error.value)


# rows


def test_mean_and_std_are_numpys(chain: list[Record]) -> None:
    rows = report.rows(chain)
    assert [row["stage"] for row in rows] == [stage for stage, *_ in STAGES]
    for row in rows:
        values = [r["test/accuracy"] for r in chain if r["stage"] == row["stage"]]
        assert row.n == 3
        assert row.mean["test/accuracy"] == pytest.approx(np.mean(values), rel=1e-14)  # type: ignore[arg-type]
        assert row.std["test/accuracy"] == pytest.approx(np.std(values, ddof=1), rel=1e-12)  # type: ignore[arg-type]


def test_one_seed_has_no_std_and_missing_values_do_not_count() -> None:
    (row,) = report.rows([made("prune", 0, test__ece=0.5), made("prune", 1)])
    assert (row.n, row.mean["test/ece"], row.std) == (2, 0.5, {"seed": pytest.approx(0.5**0.5)})
    (single,) = report.rows([made("prune", 0, test__ece=0.5)])
    assert single.std == {}


def test_a_teacher_shared_by_a_sweep_counts_once() -> None:
    shared_ = [
        made(
            *("teacher", seed),
            run=f"{seed}{i}",
            test__accuracy=0.9 + seed / 100,
            cost__reused=i > 0,
            cost__train_seconds=0.0 if i else 60.0,
            experiment=f"e{i % 2}",
        )
        for seed, i in itertools.product(range(2), range(8))
    ]
    (row,) = report.rows(shared_[::-1])
    assert row.n == 2
    assert row.mean["test/accuracy"] == pytest.approx(0.905)
    assert row.mean["cost/train_seconds"] == 60.0  # of the run that trained it
    assert set(row.experiments) == {"e0", "e1"}


@pytest.mark.parametrize("seed", range(20))
def test_the_front_is_what_brute_force_finds(seed: int) -> None:
    draw = random.Random(seed)
    points = [(draw.randint(1, 12), draw.randint(1, 12)) for _ in range(draw.randint(1, 40))]
    sizes, accuracies = zip(*points, strict=True)

    def dominated(i: int) -> bool:
        return any(
            s <= sizes[i] and a >= accuracies[i] and (s < sizes[i] or a > accuracies[i])
            for s, a in points
        )

    found = front(sizes, accuracies)
    assert sorted(found) == [i for i in range(len(points)) if not dominated(i)]
    assert [sizes[i] for i in found] == sorted(sizes[i] for i in found)


# words


def test_a_stage_says_its_settings(chain: list[Record]) -> None:
    names = labels.stage_names(report.ordered(report.rows(chain)))
    assert names == ["teacher", "student", "distill T=4 α=0.1", "prune 80 %", "quantize 8 bit"]


def sweep() -> list[Record]:
    """Temperature × alpha with a pruned model below each; things measured differ too."""
    return [
        made(
            *(stage, seed),
            group=f"{stage}{t}{a}",
            test__accuracy=0.9 + t / 1000,
            prune__achieved=t,
            distill__temperature=t,
            distill__alpha=a,
            distill__optim__lr=0.1,
            teacher__seed=a,
            size__file_bytes=1000.0 if stage == "prune" else 9000.0,
            **({"prune/rate": 0.5} if stage == "prune" else {}),
        )
        for stage in ("distill", "prune")
        for t, a, seed in itertools.product((1, 4, 16), (0.1, 0.5, 0.9), (0, 1))
    ]


def test_a_sweep_shows_what_it_varies_and_nothing_else() -> None:
    rows = report.ordered(report.rows(sweep()))
    assert labels.varied(rows) == ["distill/temperature", "distill/alpha"]
    assert labels.stage_names(rows)[3:5] == ["distill T=4 α=0.1", "distill T=4 α=0.5"]
    assert labels.full_names(rows)[-1] == "mlp prune 50 %\ndistill T=16 α=0.9"
    lines = text.markdown(rows).splitlines()
    assert "distill T" in lines[0]
    assert len(set(lines)) == 2 + 18  # each row can be told from every other
    assert [line.split("|")[4:6] for line in lines[-2:]] == [[" 16 ", " 0.5 "], [" 16 ", " 0.9 "]]


def test_a_setting_is_one_whatever_its_name_is() -> None:
    """A sweep over factorize.rank_ratio, which once read as three times the same."""
    found = [
        Record(
            {"stage": "factorize", "kind": "rebuilds", "model": "mlp", "run": "r", "seed": 0}
            | {"group": f"g{ratio}", "factorize/rank_ratio": ratio, "factorize/ranks": 3},
            ["factorize/rank_ratio"],
        )
        for ratio in (0.1, 0.2, 0.5)
    ]
    names = labels.stage_names(report.ordered(report.rows(found)))
    assert names == [f"factorize rank_ratio={ratio}" for ratio in (0.1, 0.2, 0.5)]


def test_a_stage_from_elsewhere_has_the_next_look() -> None:
    rows = report.rows([made("teacher"), made("prune"), made("regrow"), made("thin")])
    found = looks(rows)
    assert len(set(found.values())) == 4
    assert found == looks(rows[::-1]) | {"regrow": found["regrow"], "thin": found["thin"]}


def test_what_a_method_brings_along_is_not_said() -> None:
    found = [
        made("distill", group=m, distill__method=m, distill__alpha=a, distill__margin=a)
        for m, a in (("kd", 0.1), ("pkt", 0.5))
    ]
    names = labels.stage_names(report.ordered(report.rows(found)))
    assert names == ["distill kd α=0.1", "distill pkt α=0.5"]


def test_the_front_is_chosen_on_validation() -> None:
    found = [
        made(
            "prune", group=f"{size}", size__file_bytes=size, val__accuracy=val, test__accuracy=test
        )
        for size, val, test in ((1.0, 0.8, 0.8), (2.0, 0.7, 0.9), (3.0, 0.9, 0.85))
    ]
    assert columns.pareto(report.rows(found), "size/file_bytes", "test/accuracy") == [0, 2]


def test_p_is_corrected_by_holm() -> None:
    assert statistics.holm([0.01, 0.03, 0.04]) == pytest.approx([0.03, 0.06, 0.06])
    assert statistics.holm([0.5, 0.9]) == [1.0, 1.0]


def test_a_table_for_latex_is_escaped(chain: list[Record]) -> None:
    told = text.latex(report.ordered(report.rows(chain)))
    assert r"\toprule" in told and r"lenet5\_tenth" in told and r"80 \%" in told
    assert len({line.count(" & ") for line in told.splitlines() if line.endswith(r"\\")}) == 1


def test_rows_that_nothing_shown_tells_apart_carry_their_group() -> None:
    rows = report.rows([made("prune", group="aaaa1"), made("prune", group="bbbb2")])
    assert labels.stage_names(rows) == ["prune #aaaa", "prune #bbbb"]


def test_numbers_are_said_with_three_digits() -> None:
    said = [quantities.si(value, "B") for value in (999, 1000, 27_040, 999_499, 999_600, 1.07e9)]
    assert said == ["999 B", "1.00 KB", "27.0 KB", "999 KB", "1.00 MB", "1.07 GB"]
    assert [quantities.tick(v) for v in (0.05, 1, 1500, 2e6)] == ["0.05", "1", "1.5 k", "2 M"]


# tables


def test_csv_and_markdown_hold_the_numbers(chain: list[Record]) -> None:
    rows = report.ordered(report.rows(chain))
    lines = list(csv.DictReader(io.StringIO(text.table_csv(rows))))
    for line, row in zip(lines, rows, strict=True):
        assert float(line["test/accuracy"]) == row.mean["test/accuracy"]
        assert float(line["test/accuracy_std"]) == row.std["test/accuracy"]
        assert float(line["size/file_bytes"]) == row.mean["size/file_bytes"]
        assert line["n"] == "3"
    assert lines[3]["prune/rate"] == "0.8"
    assert lines[4]["latency/ms_b1"] == ""
    page = text.markdown(rows, ["a note"])
    for row in rows:
        accuracy, std = 100 * row.mean["test/accuracy"], 100 * row.std["test/accuracy"]
        assert f"| {accuracy:.2f} ± {std:.2f} |" in page
    assert "| 31.0 | 55.6× |" in page  # 31,000 bytes; 1,724,320 ÷ 31,000
    assert page.endswith("- a note\n")
    dump = list(csv.DictReader(io.StringIO(text.records_csv(chain))))
    assert [float(r["test/accuracy"]) for r in dump] == [r["test/accuracy"] for r in chain]


@pytest.mark.parametrize("width", [40, 100, 160])
def test_the_terminal_table_keeps_to_its_width(width: int, chain: list[Record]) -> None:
    from rich.console import Console

    console = Console(width=width, file=io.StringIO(), record=True)
    table, hidden = text.terminal(report.ordered(report.rows(chain)), width)
    console.print(table)
    page = console.export_text()
    assert max(map(len, page.splitlines())) <= width
    assert ("MACs" in hidden) is False  # nobody measured them: no such column to hide
    assert ("Δ points" in hidden) == (width < 100)
    assert "file KB" in page
    if width >= 100:
        assert "distill T=4 α=0.1" in page


def test_the_checks_name_what_is_missing(chain: list[Record]) -> None:
    def found(made_: list[Record]) -> dict[int, checks.Check]:
        return {check.number: check for check in checks.fairness(report.rows(made_))}

    assert list(found(chain)) == list(range(1, 22))
    assert (found(chain)[5].status, found(run(0))[5].status) == ("pass", "fail")
    assert "5 of 5 rows" in found(run(0))[5].why
    assert "random pruning of lenet5_tenth on digits" in found(chain)[6].why
    assert (
        found(chain)[7].why
        == "magnitude over the network for lenet5_tenth on digits; per layer \
for lenet5_tenth on digits"
    )
    assert found(chain)[1].status == "pass"
    assert "5 operating points" in found(chain)[4].why
    compressed = [r for r in chain if r["stage"] in ("teacher", "prune", "quantize")]
    assert "the dense lenet5_tenth on digits" in found(compressed)[1].why
    timed = [made("prune", i, hardware=f"machine {i}", latency__ms_b1=1.0) for i in range(2)]
    assert "more than one machine" in found(timed)[15].why
    assert "more than one" not in found(timed[:1])[15].why
    assert {found(chain[:1])[n].status for n in (1, 2, 3, 4, 6, 7, 8, 9, 14)} == {"not asked"}


def test_the_checks_pass_where_nothing_is_missing() -> None:
    status = {check.number: check.status for check in checks.fairness(report.rows(thorough()))}
    assert {n for n, said in status.items() if said != "pass"} == {12, 13, 17, 19, 20}


def thorough() -> list[Record]:
    """Five rates, three seeds, every baseline, an export: what the checks ask for."""
    whole = {
        "model": "net", "experiment": "e", "hardware": "h", "commit": "c", "val/accuracy": 0.9,
        "latency/ms_b1": 1.0, "latency/iqr_b1": 0.1, "size/packed_bytes": 50, "cost/epochs": 3,
        "cost/train_seconds": 5.0, "compute/nonzero_macs": 9, "size/params": 10, "test/ece": 0.1,
        "teacher/worst_drop": 0.1, "teacher/agreement": 0.9, "compute/macs": 10,
        "export/agreement": 1.0, "prune/optim/epochs": 3,
    }  # fmt: skip

    def one(stage: str, place: int, seed: int, drop: float, **more: Any) -> Record:
        metrics = {
            "position": place,
            "size/file_bytes": 100 * (1 - drop),
            "test/accuracy": 1 - drop,
        }
        return made(stage, seed, **whole, **metrics, **more)

    scopes = ("global_threshold", "layerwise_threshold")
    return [
        record
        for seed in range(3)
        for record in (
            one("teacher", 0, seed, 0.0, group="whole"),
            *(
                one(
                    *("prune", 1, seed, rate),
                    group=f"{rate}{scope}",
                    prune__rate=rate,
                    prune__achieved=rate,
                    prune__scope=scope,
                    prune__criterion="Magnitude",
                )
                for rate in (0.1, 0.2, 0.3, 0.4, 0.5)
                for scope in scopes
            ),
            one("export", 2, seed, 0.5, group="export"),
            *(
                one("baseline", 3, seed, 0.6, group=kind, baseline__kind=kind, baseline__of="prune")
                for kind in ("random", "scratch", "dense")
            ),
        )
    ]


def test_a_claim_is_tested_over_the_seeds_that_both_have() -> None:
    a, b = {0: 0.90, 1: 0.92, 2: 0.91, 3: 0.5}, {2: 0.90, 1: 0.90, 0: 0.89, 7: 0.1}
    c, other = {0: 0.91, 2: 0.905, 1: 0.93}, {5: 0.8}
    found, turned, beside, alone = statistics.compared([(a, b), (b, a), (a, c), (a, other)])
    assert found is not None and turned is not None and beside is not None and alone is None
    for test, (one, two) in ((found, (a, b)), (turned, (b, a)), (beside, (a, c))):
        seeds = (0, 1, 2)
        theirs = stats.ttest_rel([one[s] for s in seeds], [two[s] for s in seeds])
        interval = theirs.confidence_interval()
        assert test.n == 3 and test.p == pytest.approx(theirs.pvalue, rel=1e-9)
        assert test.half == pytest.approx((interval.high - interval.low) / 2, rel=1e-9)
    assert found.difference == pytest.approx(0.04 / 3) == -turned.difference
    assert statistics.compared([({0: 0.9}, {0: 0.8})]) == [
        statistics.Paired(1, pytest.approx(0.1), None, None)  # type: ignore[arg-type]
    ]
    (same,) = statistics.compared([({0: 0.5, 1: 0.6}, {0: 0.4, 1: 0.5})])
    assert same is not None and same.p is None  # no scatter, no test


def test_an_interval_is_students(chain: list[Record]) -> None:
    (row, *_) = report.rows(chain)
    values = list(row.by_seed("test/accuracy").values())
    low, high = stats.t.interval(0.95, 2, np.mean(values), stats.sem(values))
    assert row.half["test/accuracy"] == pytest.approx((high - low) / 2, rel=1e-9)


# curve


def drawn(found: list[Record], x: str = "size/file_bytes", y: str = "test/accuracy") -> Any:
    """The trade-off on paper."""
    table = report.ordered(report.rows(found))
    figures = report.described(table, [], [x], [y], x, y)
    return plates.plates(table, figures, curve.columns(table, [x, y]), x, y)["curve"][0]


def test_equal_rows_give_equal_bytes(chain: list[Record]) -> None:
    first, second = (paper.image(drawn(chain), "svg") for _ in range(2))
    assert first == second
    assert b"<dc:date>" not in first


def test_the_curve_draws_means_std_and_the_front(chain: list[Record]) -> None:
    found = [*chain, *(r for r in run(7) if r["stage"] == "teacher")]
    rows = report.ordered(report.rows(found))
    (axes,) = drawn(found).axes
    assert axes.get_xscale() == "log"
    assert axes.get_title(loc="left") == "chain"
    points = {
        (round(x, 6), round(y, 6))
        for container in axes.containers
        for x, y in zip(*container.lines[0].get_data(), strict=True)  # type: ignore[attr-defined]
    }
    assert points == {
        (r.mean["size/file_bytes"], round(100 * r.mean["test/accuracy"], 6)) for r in rows
    }
    named = {note.get_text() for note in axes.texts}
    assert {"lenet5 teacher", "lenet5_tenth distill T=4 α=0.1"} <= named
    assert not any("student" in name for name in named)  # same size, less accurate
    spread = axes.containers[0].lines[2][0].get_segments()[0]  # type: ignore[attr-defined]
    (teacher,) = (row for row in rows if row["stage"] == "teacher")
    assert spread[1][1] - spread[0][1] == pytest.approx(200 * teacher.std["test/accuracy"])


def test_the_curve_takes_what_real_runs_hold() -> None:
    odd = [
        made(
            "teacher",
            test__accuracy=1.0,
            size__file_bytes=10.0,
            experiment="$x^2$",
            size__nonzero=0,
        ),
        made(
            "prune", 0, test__accuracy=0.5, size__file_bytes=10.0, prune__rate=0.5, size__nonzero=7
        ),
        made(
            "prune", 1, test__accuracy=0.6, size__file_bytes=10.0, prune__rate=0.5, size__nonzero=7
        ),
        made("a new stage", test__accuracy=0.1, size__file_bytes=10.0, model="$m_1"),
        made("quantize", test__accuracy=0.2),  # without a size
    ]
    rows = report.rows(odd)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for x in ("size/file_bytes", "size/nonzero", "prune/rate"):
            assert paper.image(drawn(odd, x), "png").startswith(b"\x89PNG")
    with pytest.raises(CondenserError, match="size/file_bytes"):
        curve.drawable(rows, "size/file_byte", "test/accuracy")


@pytest.mark.parametrize("seed", range(5))
def test_labels_cover_nothing(seed: int) -> None:
    draw = random.Random(seed)
    points = [(draw.uniform(20, 480), draw.uniform(20, 280)) for _ in range(12)]
    markers = [Box(x - 5, y - 5, x + 5, y + 5) for x, y in points]
    bounds = Box(0, 0, 500, 300)
    boxes = [b for b in place(points, [(90, 12)] * 12, bounds, markers) if b is not None]
    assert len(boxes) >= 10
    assert all(box.within(bounds) for box in boxes)
    assert not shared(boxes, markers).any()
    areas = shared(boxes, boxes)
    assert areas.sum() == pytest.approx(np.trace(areas))  # each with itself alone


def test_no_room_is_said() -> None:
    assert place([(5.0, 5.0)], [(90.0, 12.0)], Box(0, 0, 10, 10), []) == [None]


# the command


def command(*arguments: str | Path, folder: Path) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, str(SCRIPT), *map(str, arguments)]
    environment = {**os.environ, "COLUMNS": "120", "PYTHONIOENCODING": "utf-8"}
    return subprocess.run(
        line, capture_output=True, text=True, encoding="utf-8", cwd=folder, env=environment
    )


def test_the_command_writes_a_report_from_any_folder(tmp_path: Path, chain: list[Record]) -> None:
    for seed in range(3):
        records.write(tmp_path / "runs" / "chain" / f"seed={seed}", run(seed))
    with (tmp_path / "runs" / "chain" / "seed=0" / records.FILE).open("a") as file:
        file.write("cut o")
    done = command("runs/chain", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "records.jsonl:6: skipped" in done.stderr
    assert "quantize 8 bit" in done.stdout
    names = {"curve.png", "curve.svg", "table.csv", "table.md", "records.csv"}
    assert names <= {path.name for path in (tmp_path / "runs" / "chain").iterdir()}
    for name in names:
        assert name in done.stdout
        assert (tmp_path / "runs" / "chain" / name).stat().st_size > 100
    assert records.read([tmp_path / "runs" / "chain" / "seed=1"]) == run(1)


def test_records_without_the_usual_axes_are_still_shown(tmp_path: Path) -> None:
    old = {"run": "old", "stage": "teacher"}  # of a version that had less
    lines = [
        {"lineage": old, "settings": {}, "results": {"test/accuracy": 0.9}},
        {"lineage": {"run": "n", "stage": "prune"}, "settings": {}, "results": {}},
        [1, 2],
    ]
    text_ = "".join(f"{json.dumps(line)}\n" for line in lines) + '{"run": "half", "st'
    (tmp_path / records.FILE).write_text(text_)
    (tmp_path / "curve.png").write_text("of an earlier report")
    done = command(tmp_path, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("skipped") == 2
    assert "teacher" in done.stdout and "prune" in done.stdout
    assert (tmp_path / "report.html").stat().st_size > 10**6
    assert not (tmp_path / "curve.png").exists()
    (tmp_path / "records2.jsonl").write_text(made("prune", 1).line())
    assert command("records2.jsonl", "--out", "two", folder=tmp_path).returncode == 0
    assert command(tmp_path, "--x", "size/params", folder=tmp_path).returncode == 2


def test_what_nobody_may_read_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    closed = tmp_path / "closed"
    records.write(closed, [made("teacher")])
    records.write(tmp_path / "open", [made("prune")])
    real, refused = records.read_bytes, closed.resolve() / records.FILE

    def refuse(path: Path, *bound: int) -> bytes:
        if path == refused:
            raise PermissionError(13, "Permission denied", str(path))
        return real(path, *bound)

    monkeypatch.setattr(records, "read_bytes", refuse)
    with pytest.warns(records.RecordWarning, match="closed.*Permission denied"):
        assert [r["stage"] for r in records.read([tmp_path])] == ["prune"]
    monkeypatch.setattr(Path, "stat", lambda path, **_: refuse(refused))
    with pytest.raises(CondenserError, match="cannot be read: Permission denied"):
        records.read([closed])


def test_a_thousand_rows_leave_the_terminal_readable() -> None:
    many = [
        made("prune", group=f"g{i}", test__accuracy=i / 1000, size__file_bytes=1e6 - i)
        for i in range(1000)
    ]
    table, hidden = text.terminal(report.rows(many), 200)
    assert table.row_count == text.MOST_ROWS
    assert f"{1000 - text.MOST_ROWS} rows" in hidden


def test_help_and_mistakes_wait_for_no_heavy_import() -> None:
    heavy = "{'torch', 'matplotlib', 'pandas', 'rich', 'numpy'} & set(sys.modules)"
    code = f"import sys; sys.path.insert(0, {str(SCRIPT.parent)!r}); import report; print({heavy})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "set()", done.stderr


# methods over sizes -----------------------------------------------------------------------------


def tried(criterion: str, rate: float, accuracy: float, seed: int = 0, **metrics: Any) -> Record:
    own = {"prune/criterion": criterion, "prune/rate": rate, "size/nonzero": 1000 * (1 - rate)}
    stage = "baseline" if "baseline/kind" in metrics else "prune"
    group = f"{stage} {criterion} {rate} {sorted(metrics.items())}"
    whole = {"position": 1, "model": "net", "group": group, "test/accuracy": accuracy}
    return made(stage, seed, **(whole | own | metrics))


def swept() -> list[Record]:
    dense = made("teacher", position=0, model="net", group="dense", **{"test/accuracy": 0.9})
    of = {"baseline/kind": "random", "baseline/of": "prune"}
    return [
        dense,
        *(tried("LAMP", r, 0.9 - r / 9, s) for r in (0.5, 0.75, 0.9) for s in (0, 1)),
        *(tried("Magnitude", r, 0.8 - r / 9) for r in (0.5, 0.75, 0.9)),
        *(tried("Magnitude", r, 0.5, **of) for r in (0.5, 0.75, 0.9)),
        *(tried("Once", r, 0.5) for r in (0.5, 0.75)),
    ]


def test_methods_are_lines_over_sizes() -> None:
    found = methods.lines(report.rows(swept()), "size/nonzero", "test/accuracy")
    assert list(found) == ["net"]
    of_method = found["net"]
    assert set(of_method) == {"prune LAMP", "prune Magnitude", "prune Magnitude random (baseline)"}
    assert [row.mean["prune/rate"] for row in of_method["prune LAMP"]] == [0.9, 0.75, 0.5]
    assert {row.n for row in of_method["prune LAMP"]} == {2}


def test_a_figure_of_methods_is_written_where_there_are_some(tmp_path: Path) -> None:
    made_files = report.write(swept(), tmp_path, x="size/nonzero").files
    assert {"methods.png", "methods.svg"} <= {path.name for path in made_files}
    first = (tmp_path / "methods.svg").read_bytes()
    report.write(swept(), tmp_path, x="size/nonzero")
    assert (tmp_path / "methods.svg").read_bytes() == first
    text_of = first.decode()
    assert text_of.count("<svg") == 1 and len(first) > 5000


def test_no_figure_of_methods_without_a_sweep(tmp_path: Path, chain: list[Record]) -> None:
    assert not any("methods" in path.name for path in report.write(chain, tmp_path).files)


def test_a_ratio_is_to_the_networks_own_start() -> None:
    sizes = {"small": 100.0, "large": 1000.0}
    found = [
        made(
            *(stage,),
            position=place,
            model=model,
            experiment="e",
            group=f"{stage} {model}",
            size__file_bytes=size / (1 + place),
            test__accuracy=0.9,
        )
        for model, size in sizes.items()
        for place, stage in enumerate(("teacher", "prune"))
    ]
    rows = report.rows(found)
    bases = columns.originals(rows)
    assert [str(base and base["model"]) for base in bases] == ["small", "small", "large", "large"]


TOLD = sorted(path.parent.name for path in EXPERIMENTS.glob("*/table.md"))


@pytest.mark.parametrize("name", TOLD)
def test_what_experiments_tell_is_what_their_records_say(name: str) -> None:
    """`python src/report.py experiments/NAME` would write the same table."""
    table = report.ordered(report.rows(records.read([EXPERIMENTS / name])))
    beside = pairs.neighbours(table, pairs.tested(table))
    told = text.markdown(table, [*checks.notes(table), *pairs.summary(beside)])
    assert (EXPERIMENTS / name / "table.md").read_text() == told
