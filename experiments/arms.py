"""The arms of an experiment beside one another, out of its records: arms.md, tests.csv, arms.png.

    python experiments/arms.py experiments/joint

An arm's name is the first word of its runs' names, ``D-P seed=1 try=0.002``.
"""

from __future__ import annotations

import csv
import io
import json
import math
import statistics
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

import matplotlib
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from condenser.report.analysis.statistics import compared, holm
from condenser.report.figures.label_placement import Box, place
from condenser.report.figures.style import STYLE

ACCURACY, VAL = "test/accuracy", "val/accuracy"
PACKED, DEPLOYED = "size/packed_bytes", "size/file_bytes"
NAMES, GREY = {PACKED: "packed", DEPLOYED: "deployed"}, "#555555"
TITLES = {"joint": "Distilled (D), pruned (P), quantised (Q): in which order, at equal training"}
PAIRS = "pairs.json"  # the questions: [[arm, arm], …], Holm's family
Arms = Mapping[str, list[Mapping[str, Any]]]


def read(folder: Path) -> Arms:
    """Arm → the records of its seeds; a teacher's record is no arm's."""
    found: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for line in (folder / "records.jsonl").read_text().splitlines():
        record = json.loads(line)
        name, seed, _ = str(record["lineage"]["run"]).partition(" seed=")
        if seed:
            found[name].append(record)
    return found


def values(records: Sequence[Mapping[str, Any]], key: str) -> list[float]:
    return [record["results"][key] for record in records]


def spread(numbers: Sequence[float]) -> str:
    mean = statistics.fmean(numbers)
    return f"{mean:.2f} ± {statistics.stdev(numbers):.2f}" if len(numbers) > 1 else f"{mean:.2f}"


def table(arms: Arms) -> str:
    """Accuracies in percent, mean ± sample standard deviation; mean bytes."""
    head = ["arm", "test %", "validation %", "packed bytes", "deployed bytes", "tuned to", "n"]
    lines = [head, [":---", *["---:"] * (len(head) - 1)]]
    for name, records in arms.items():
        accuracies = [100 * v for v in values(records, ACCURACY)]
        val = [100 * v for v in values(records, VAL)]
        size = (f"{statistics.fmean(values(records, key)):,.0f}" for key in (PACKED, DEPLOYED))
        knob = str(records[0]["lineage"]["run"]).rpartition("=")[2]
        lines.append([name, spread(accuracies), spread(val), *size, knob, str(len(records))])
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def tests(arms: Arms, pairs: Sequence[Sequence[str]]) -> list[list[object]]:
    """Of each pair whose arms are there: points of difference, ±95 %, p, and p after Holm."""
    there = [pair for pair in pairs if all(len(arms.get(name, ())) > 1 for name in pair)]
    by_seed = {
        name: {record["lineage"]["seed"]: record["results"][ACCURACY] for record in records}
        for name, records in arms.items()
    }
    done = compared([(by_seed[a], by_seed[b]) for a, b in there])
    told = [(pair, t) for pair, t in zip(there, done, strict=True) if t and t.p is not None]
    told.sort(key=lambda one: one[1].p)
    corrected = holm([t.p for _, t in told])
    return [
        [
            *pair,
            t.n,
            f"{100 * t.difference:.2f}",
            f"{100 * (t.half or 0):.2f}",
            f"{t.p:.3g}",
            f"{p:.3g}",
        ]
        for (pair, t), p in zip(told, corrected, strict=True)
    ]


class Point(NamedTuple):
    """An arm's means: bytes, and test and validation accuracy in percent; std of the test's."""

    name: str
    bytes: float
    test: float
    val: float
    std: float


def points(arms: Arms, x: str) -> list[Point]:
    found = []
    for name, records in arms.items():
        test, val = ([100 * v for v in values(records, key)] for key in (ACCURACY, VAL))
        std = statistics.stdev(test) if len(test) > 1 else 0.0
        at = statistics.fmean(values(records, x)), statistics.fmean(test), statistics.fmean(val)
        found.append(Point(name, *at, std))
    return found


def front(found: Sequence[Point]) -> list[Point]:
    """Those that no other beats in bytes and validation accuracy."""
    best = [p for p in found if not any(q.bytes <= p.bytes and q.val > p.val for q in found)]
    return sorted(best, key=lambda point: point.bytes)


def figure(arms: Arms, x: str, title: str) -> Figure:
    """Every arm a point with its name: test accuracy over bytes, ± a standard deviation."""
    found = points(arms, x)
    with matplotlib.rc_context(STYLE):
        made = Figure(figsize=(9, 5.4), dpi=160, layout="constrained")
        FigureCanvasAgg(made)
        axes = made.add_subplot()
        for color, part in (("#0072b2", True), ("#d55e00", False)):
            mine = [p for p in found if ("D" in p.name) == part]
            across, up, bars = [[p[i] for p in mine] for i in (1, 2, 4)]
            axes.errorbar(across, up, bars, fmt="o", color=color, elinewidth=0.9, capsize=2.5)
        axes.set(xscale="log", ylabel="test accuracy (%)", xlabel=f"bytes of the {NAMES[x]} file")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value / 1000:g} KB"))
        axes.margins(0.12)
        axes.grid(color="#e6e6e6", linewidth=0.8)
        steps = front(found)
        axes.step(
            [p.bytes for p in steps],
            [p.test for p in steps],
            where="post",
            color=GREY,
            lw=1.2,
            zorder=1,
        )
        axes.set_title(title, loc="left", fontsize=13, fontweight="bold", pad=24)
        n = sorted({len(records) for records in arms.values()})
        seeds = f"mean ± sample std over {'–'.join(map(str, dict.fromkeys((n[0], n[-1]))))} seeds"
        axes.text(
            0,
            1.025,
            f"{seeds}; blue: with a teacher; line: front on validation",
            transform=axes.transAxes,
            color=GREY,
            fontsize=9.5,
        )
        named(made, axes, found, steps)
    return made


def named(made: Figure, axes: Any, found: Sequence[Point], line: Sequence[Point]) -> None:
    """Write the names where they cover neither points nor each other."""
    made.draw_without_rendering()
    made.set_layout_engine("none")
    scale = 72 / made.dpi
    spots = [tuple(axes.transData.transform((p.bytes, p.test)) * scale) for p in found]
    edges = Box(*(edge * scale for edge in axes.get_window_extent().extents))
    sizes = [(5.2 * len(p.name) + 2, 10.0) for p in found]
    solid = [Box(x - 5, y - 5, x + 5, y + 5) for x, y in spots]
    corners = [tuple(axes.transData.transform((p.bytes, p.test)) * scale) for p in line]
    flat = [Box(x, y - 2, to, y + 2) for (x, y), (to, _) in pairwise(corners)]
    for p, spot, box in zip(found, spots, place(spots, sizes, edges, solid, flat), strict=True):
        if box is not None:
            at = box.left - spot[0], box.bottom - spot[1]
            leader = {"arrowstyle": "-", "color": "#999999", "linewidth": 0.6, "shrinkB": 4}
            axes.annotate(
                p.name, (p.bytes, p.test), at, textcoords="offset points", fontsize=9,
                arrowprops=leader if math.hypot(*at) > 20 else None,
            )  # fmt: skip


def write(folder: Path, x: str = PACKED) -> None:
    arms = read(folder)
    (folder / "arms.md").write_text(table(arms))
    found = tests(arms, json.loads((folder / PAIRS).read_text()))
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["a", "b", "n", "a - b, points", "± 95 %", "p", "p_holm"])
    rows.writerows(found)
    (folder / "tests.csv").write_text(text.getvalue())
    title = next(iter(arms.values()))[0]["lineage"]["experiment"]
    drawn = figure(arms, x, TITLES.get(title, title))
    with matplotlib.rc_context(STYLE):
        drawn.savefig(folder / "arms.png")
        drawn.savefig(folder / "arms.svg", metadata={"Date": None})


if __name__ == "__main__":
    write(Path(sys.argv[1]))
