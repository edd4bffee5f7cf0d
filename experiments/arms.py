"""The arms of an experiment beside one another, out of its records: arms.md, tests.csv, arms.png.

    python experiments/arms.py experiments/joint

An arm's name is the first word of its runs' names, ``D-P seed=1 try=0.002``.
"""

from __future__ import annotations

import csv
import io
import json
import statistics
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

import matplotlib
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from condenser.report.analysis.statistics import compared, holm
from condenser.report.figures.curve import image
from condenser.report.figures.style import FRONT, STYLE, SUBTITLE

ACCURACY, PACKED, DEPLOYED = "test/accuracy", "size/packed_bytes", "size/file_bytes"
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
        val = [100 * v for v in values(records, "val/accuracy")]
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


def figure(arms: Arms, x: str, title: str) -> Figure:
    """Every arm a point with its name: test accuracy over bytes, ± a standard deviation."""
    with matplotlib.rc_context(STYLE):
        made = Figure(figsize=(9, 5.4), dpi=160, layout="constrained")
        FigureCanvasAgg(made)
        axes = made.add_subplot()
        points = []
        for name, records in arms.items():
            ys = [100 * v for v in values(records, ACCURACY)]
            at = statistics.fmean(values(records, x)) / 1000, statistics.fmean(ys)
            points.append((name, *at))
            bar = statistics.stdev(ys) if len(ys) > 1 else 0.0
            axes.errorbar(*at, yerr=bar, fmt="o", color="#0072b2", ecolor="#99c7e0", capsize=2.5)
        for name, across, up in points:
            axes.annotate(name, (across, up), (6, 4), textcoords="offset points", fontsize=9)
        front = sorted(best(points), key=lambda point: point[1])
        axes.step([p[1] for p in front], [p[2] for p in front], where="post", **FRONT, zorder=1)
        axes.set_xscale("log")
        axes.set_xlabel(f"{'packed' if x == PACKED else 'deployed'} file, KB (log scale)")
        axes.set_ylabel("test accuracy (%)")
        n = sorted({len(records) for records in arms.values()})
        axes.set_title(title, loc="left", fontsize=13, fontweight="bold", pad=24)
        seeds = f"mean ± sample std over {'–'.join(map(str, dict.fromkeys((n[0], n[-1]))))} seeds"
        axes.text(0, 1.025, seeds, transform=axes.transAxes, **SUBTITLE)
        axes.grid(color="#e6e6e6")
    return made


def best(points: Sequence[tuple[str, float, float]]) -> list[tuple[str, float, float]]:
    """Those that no other beats in bytes and accuracy."""
    return [p for p in points if not any(q[1] <= p[1] and q[2] > p[2] for q in points)]


def write(folder: Path, x: str = PACKED) -> None:
    arms = read(folder)
    (folder / "arms.md").write_text(table(arms))
    found = tests(arms, json.loads((folder / PAIRS).read_text()))
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["a", "b", "n", "a - b, points", "± 95 %", "p", "p_holm"])
    rows.writerows(found)
    (folder / "tests.csv").write_text(text.getvalue())
    drawn = figure(arms, x, folder.name)
    for kind in ("png", "svg"):
        (folder / f"arms.{kind}").write_bytes(image(drawn, kind))


if __name__ == "__main__":
    write(Path(sys.argv[1]))
