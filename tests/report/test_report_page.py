"""The page in a real browser: charts are drawn, choosers choose, nothing is computed twice."""

from __future__ import annotations

import csv
import json
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from places import SRC
from recorded import recorded
from scipy import stats

from condenser import report
from condenser.report.analysis import columns, heat, layers, pairs, training
from condenser.report.figures import curve as trade_off
from condenser.report.page import embedded, page
from condenser.report.page.content import content
from condenser.runs import records
from condenser.runs.records import Record

SCRIPT = SRC / "report.py"
PATIENCE = 180_000  # ms; a machine that trains meanwhile is slow to draw
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
EVIL = (
    "</script><script>document.title='taken'</script><img src=x onerror=\"document.title='taken'\">"
)


def sweep(folder: Path) -> list[Record]:
    """Teacher, then T × α × rate × 3 seeds, with layers, curves, and names that mean harm."""
    every = []
    for seed in range(3):
        draw = random.Random(seed)
        for t in (1.0, 4.0, 16.0):
            for a in (0.1, 0.9):
                run = folder / f"seed={seed},T={t},a={a}"
                shared = {
                    "run": run.name, "seed": seed, "experiment": f"e {EVIL}", "data": "digits",
                    "command": f"python src/train.py T={t} {EVIL}", "val/accuracy": 0.9,
                }  # fmt: skip
                taught = {"distill/temperature": t, "distill/alpha": a, "distill/method": "KD"}
                found = [
                    recorded(
                        shared
                        | {"stage": "teacher", "model": "big", "position": 0, "group": "t"}
                        | {"test/accuracy": 0.95 + seed / 1000, "size/file_bytes": 9e5}
                        | {"energy/uj": 70.0, "compute/macs": 5e6}
                    )
                ]
                for place, rate in enumerate((0.5, 0.8, 0.9), start=1):
                    own = {
                        "stage": "prune", "model": "small", "position": place,
                        "group": f"{t} {a} {rate}", "prune/rate": rate, "prune/criterion": "LAMP",
                        "size/file_bytes": 1e5 * (1.01 - rate) + t, "energy/uj": 9.0 / rate,
                        "test/accuracy": 0.93 - rate**9 / 5 - t / 999 + draw.gauss(0, 0.003),
                        "gone/conv1": rate, "gone/fc": rate / 2,
                        "packed/conv1": 100, "packed/fc": 9, "entries/conv1": 400,
                        "entries/fc": 0, "compute/macs": 1e6,
                    }  # fmt: skip
                    found.append(recorded(shared | taught | own))
                    (run / f"{place}-prune").mkdir(parents=True)
                    text = "step,val/accuracy,train/loss\n10,0.5,2\n20,0.75,1\n30,,\n40,0.8"
                    (run / f"{place}-prune" / "metrics.csv").write_text(text)
                records.write(run, found)
                every += found
    return every


def test_settings_that_move_together_are_no_map() -> None:
    """Bits of weights and of activations, the same in every run, cross nothing."""

    def crossed(pairs: list[tuple[int, int]]) -> int:
        same = {"stage": "quantize", "model": "a", "data": "d", "test/accuracy": 0.9}
        own = [
            {"quantize/bits": x, "quantize/activation_bits": y, "group": f"{x}{y}"}
            for x, y in pairs
        ]
        return len(heat.maps(report.rows([recorded(same | one) for one in own])))

    assert crossed([(2, 2), (4, 4), (8, 8)]) == 0
    assert crossed([(2, 2), (2, 4), (4, 2), (4, 4)]) == 1


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[report.Row]]:
    """The page of the sweep, made as a user makes it, and its rows."""
    folder = tmp_path_factory.mktemp("runs")
    sweep(folder)
    with (folder / "seed=0,T=1.0,a=0.1" / records.FILE).open("a") as file:
        file.write('{"run": "half')
    done = subprocess.run(
        [sys.executable, str(SCRIPT), str(folder)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    with pytest.warns(records.RecordWarning):
        return folder / report.PAGE, report.ordered(report.rows(records.read([folder])))


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    found = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip(f"no browser on the PATH ({', '.join(BROWSERS)})")
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with api.sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=found, args=["--no-sandbox"], timeout=PATIENCE
        )
        yield browser
        browser.close()


class Seen:
    """An opened page, and what it complained of."""

    def __init__(self, browser: Any, path: Path, width: int = 1280, scheme: str = "light") -> None:
        size = {"width": width, "height": 900}
        self.tab = browser.new_page(viewport=size, color_scheme=scheme, offline=True)
        self.tab.set_default_timeout(PATIENCE)
        self.complaints: list[str] = []
        self.tab.on("console", lambda message: self.complaints.append(message.text))
        self.tab.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.tab.on("request", self._asked)
        self.tab.goto(path.as_uri())
        self.tab.wait_for_selector("html[data-ready=yes]", timeout=PATIENCE)

    def _asked(self, request: Any) -> None:
        if not request.url.startswith(("file:", "data:", "blob:")):
            self.complaints.append(f"asked for {request.url}")

    def __call__(self, code: str) -> Any:
        return self.tab.evaluate(code)

    def points(self) -> list[tuple[int, float, float]]:
        """(row, x, y) of every point of the scatter."""
        found = self(
            "document.getElementById('curve-chart').data.filter(t => t.mode === 'markers')"
            ".flatMap(t => t.customdata.map((row, i) => [row, t.x[i], t.y[i]]))"
        )
        return sorted(tuple(point) for point in found)

    def front(self) -> list[list[float]]:
        code = "t => (t.name ?? '').startsWith('Pareto front')"
        return self(f"(t => [t.x, t.y])(document.getElementById('curve-chart').data.find({code}))")


def drawn_right(seen: Seen, rows: list[report.Row], x: str) -> None:
    """The points and the front that the browser drew are the rows'."""
    known = [(i, r.mean[x], 100 * r.mean["test/accuracy"]) for i, r in enumerate(rows)]
    for point, row in zip(seen.points(), known, strict=True):
        assert point == pytest.approx(row, rel=1e-6)
    best = columns.pareto(rows, x, "test/accuracy")
    xs, ys = seen.front()
    assert xs[:-1] == pytest.approx([rows[i].mean[x] for i in best], rel=1e-6)
    assert ys[:-1] == pytest.approx([100 * rows[i].mean["test/accuracy"] for i in best], rel=1e-6)


def test_charts_are_drawn_and_choosers_choose(
    browser: Any, made: tuple[Path, list[report.Row]]
) -> None:
    path, rows = made
    seen = Seen(browser, path)
    assert seen.tab.title() == f"e {EVIL}"
    for chart in ("curve-chart", "heat-chart", "layers-0", "training-chart", "compare-chart"):
        assert seen(f"document.querySelectorAll('#{chart} .main-svg').length") > 0, chart
    seen.tab.select_option("#curve-network", "")
    seen.tab.select_option("#curve-x", "size/file_bytes")
    drawn_right(seen, rows, "size/file_bytes")
    assert seen("document.getElementById('curve-chart').layout.xaxis.type") == "log"
    shown = seen("document.getElementById('curve-chart').data.find(t => t.hovertext).hovertext[0]")
    assert "&lt;/script&gt;" in shown and "<script" not in shown
    seen.tab.uncheck("#curve-log")
    assert seen("document.getElementById('curve-chart').layout.xaxis.type") != "log"
    seen.tab.select_option("#curve-x", "energy/uj")  # of any cost that records have
    drawn_right(seen, rows, "energy/uj")
    seen.tab.select_option("#curve-colour", "distill/temperature")
    names = seen("document.getElementById('curve-chart').data.map(t => t.name)")
    assert set(names) >= {"1", "4", "16", "without"}
    seen.tab.click("#curve-legend button >> nth=0")  # hides T=1
    assert len(seen.points()) == len(rows) - 6
    assert seen.complaints == []


def test_the_map_the_table_and_the_verdict(
    browser: Any, made: tuple[Path, list[report.Row]]
) -> None:
    path, rows = made
    seen = Seen(browser, path, width=390, scheme="dark")
    (first, *_) = heat.maps(rows)
    z = seen("document.getElementById('heat-chart').data[0].z")
    for line, own in zip(first.cells, z, strict=True):
        means = [100 * rows[i].mean["val/accuracy"] for i in line if i is not None]
        assert own == pytest.approx(means, rel=1e-6)
    seen.tab.click("#rows th button:has-text('accuracy %')")
    cells = seen("[...document.querySelectorAll('#rows tbody tr')].map(r => r.innerText)")
    assert "teacher" in cells[0] and len(cells) == len(rows)
    seen.tab.fill("#filter", "lamp T=16.0,a=0.9")
    kept = seen("[...document.querySelectorAll('#rows tbody tr')].map(r => r.innerText)")
    assert len(kept) == 0  # the criterion does not vary: no column says it
    seen.tab.fill("#filter", "prune T=16.0,a=0.9")
    kept = seen("[...document.querySelectorAll('#rows tbody tr')].map(r => r.innerText)")
    assert len(kept) == 3
    a, b = 3, 7
    seen.tab.select_option("#compare-a", str(a))
    seen.tab.select_option("#compare-b", str(b))
    values = [list(rows[i].by_seed("test/accuracy").values()) for i in (a, b)]
    p = stats.ttest_rel(*values).pvalue
    assert f"p={p:.3f}" in seen.tab.inner_text("#compare-says")
    assert f"{100 * (sum(values[0]) - sum(values[1])) / 3:+.2f}"[1:] in seen.tab.inner_text(
        "#compare-says"
    )
    assert "could not be read" in seen.tab.inner_text("#skipped")
    assert seen("document.querySelectorAll('#checks-list li').length") == 21
    seen.tab.select_option("#curve-x", "size/file_bytes")
    assert "<script>" in seen.tab.inner_text("#chosen pre")  # said, and not run
    assert seen("document.documentElement.scrollWidth <= window.innerWidth")
    ticks = "[...document.querySelectorAll('#curve-chart .xtick text')]"
    boxes = seen(f"{ticks}.map(t => t.getBoundingClientRect()).map(b => [b.left, b.right])")
    assert len(boxes) > 1
    assert all(one[1] <= other[0] for one, other in pairwise(sorted(boxes)))
    assert seen.complaints == []


def test_the_page_is_one_file_that_nothing_escapes(
    made: tuple[Path, list[report.Row]],
) -> None:
    text = made[0].read_text()
    assert text.count("</script>") == 3
    assert "<!--" not in text.partition("<body>")[2]
    json.loads(embedded({"a": "</script><!--\u2028"}).replace("\\u003c", "<"))
    x, y = "size/file_bytes", "test/accuracy"
    figures = report.described(made[1], [], [x], [y], x, y)
    shown = content(made[1], figures, trade_off.columns(made[1], [x, y]))
    assert page(shown) == page(json.loads(json.dumps(shown)))


def test_layers_and_curves_are_the_records(made: tuple[Path, list[report.Row]]) -> None:
    path, rows = made
    (row,) = (r for r in rows if r["group"] == "4.0 0.9 0.8")
    found = layers.of(row)
    assert found["gone"] == pytest.approx({"conv1": 0.8, "fc": 0.4})
    assert found["packed"] == {"conv1": 100, "fc": 9}
    assert found["bits"] == {"conv1": 2.0}
    with pytest.warns(records.RecordWarning):
        known = records.by_file([path.parent])
    files = {f: list(own.values()) for f, own in known.items()}
    with_curves = training.of_rows(rows, training.read(files))
    assert len(with_curves) == 18 and all(len(own) == 3 for own in with_curves.values())
    curve = with_curves[rows.index(row)][0]
    assert curve.metrics["val/accuracy"] == ([10, 20, 40], [0.5, 0.75, 0.8])
    assert curve.metrics["train/loss"] == ([10, 20], [2.0, 1.0])


def test_a_baseline_has_the_curve_of_its_own_folder() -> None:
    stages: list[dict[str, Any]] = [
        {"stage": "teacher", "position": 0},
        {"stage": "prune", "position": 1},
        {"stage": "prune", "position": 2},
        *(
            {"stage": "baseline", "position": 3 + i, "baseline/of": "prune", "baseline/kind": kind}
            for i, kind in enumerate(("random", "dense", "random"))
        ),
    ]
    assert [label for label, _ in training.labelled([recorded(s) for s in stages])] == [
        *("0-teacher", "1-prune", "2-prune", "1-prune-random", "1-prune-dense", "2-prune-random"),
    ]


def test_neighbours_differ_in_one_setting(made: tuple[Path, list[report.Row]]) -> None:
    path, rows = made
    found = pairs.neighbours(rows, pairs.tested(rows))
    assert len(found) == 3 * 2 * 3 + 3 * 3 * 1 + 6 * 3  # T with α, rate held; α; rate
    assert all(pair.test.difference >= 0 and pair.test.n == 3 for pair in found)
    lines = list(csv.DictReader((path.parent / "comparisons.csv").open()))
    assert len(lines) == len(found)
    assert [float(line["p"]) for line in lines] == sorted(float(line["p"]) for line in lines)
    assert "distill T: " in " ".join(line["differs"] for line in lines)
