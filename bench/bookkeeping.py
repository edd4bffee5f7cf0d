"""Seconds of what is not training: python bench/bookkeeping.py [--count 10000] [--jobs 100000]

A report of many records, the listing of a store of many entries, and how soon a large sweep says
what it is doing: aims on an idle machine 5 s (at most 10), 2 s, 1 s. To measure, pack, hash and
save a stage's network on one thread: 3 s for resnet50 (25 M parameters), 0.3 s for small ones. A
run of one epoch on digits: 4 s to its first step; the same command again: 1.5 s.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from statistics import median
from types import SimpleNamespace
from typing import Any

import records
import torch
import yaml

NETWORKS = {"mlp_128": (1, 28, 28), "lenet5": (1, 28, 28), "resnet20": (3, 32, 32)}
NETWORKS |= {"torchvision": (3, 64, 64)}  # resnet50
SRC = Path(__file__).resolve().parents[1] / "src"
sys.path.insert(0, str(SRC))

from condenser.checkpoint.model_spec import ModelSpec  # noqa: E402
from condenser.data import Batch  # noqa: E402
from condenser.files import CONF, write_json  # noqa: E402
from condenser.measure import commit, hardware, versions  # noqa: E402
from condenser.pipeline.metrics import measured  # noqa: E402
from condenser.pipeline.stages import StageInputs, StageResult  # noqa: E402
from condenser.store import Store, checksums, marker  # noqa: E402
from condenser.store.entries import INGREDIENTS, MODEL, RECORD, WEIGHTS  # noqa: E402
from condenser.tasks import Multiclass  # noqa: E402


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=10_000, help="records, and entries")
    parser.add_argument("--jobs", type=int, default=100_000, help="of the sweep")
    parser.add_argument("--out", type=Path, help="a file for the numbers, as JSON")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        runs, store = Path(folder, "runs"), Path(folder, "store")
        records.main(runs, options.count)
        entries(store, options.count)
        found = {
            "report": timed("report.py", str(runs), "--out", f"{folder}/out"),
            "store ls": timed("store.py", "ls", "--store", str(store), "--runs", str(runs)),
            "first words of a sweep": first_words(folder, options.jobs),
            **start(folder),
            **{f"stage of {name}": stage(name, shape) for name, shape in NETWORKS.items()},
        }
    found |= {"commit": commit(), "hardware": hardware(), "versions": versions()}
    print(json.dumps(found, indent=1))
    if options.out:
        write_json(options.out, found)


def entries(store: Path, count: int) -> None:
    """A store of so many small entries, each with its checksums."""
    store.mkdir()
    marker.claim(store)
    for number in range(count):
        folder = store / f"prune-{number:016x}"
        folder.mkdir()
        date = f"2026-01-01T00:00:{number % 60:02d}+00:00"
        write_json(folder / RECORD, {"test/accuracy": number / count, "date": date})
        write_json(folder / INGREDIENTS, {"stage": "prune", "settings": {"rate": number / count}})
        write_json(folder / MODEL, {"architecture": {"_target_": "condenser.models.MLP"}})
        (folder / WEIGHTS).write_bytes(b"0" * 1000)
        checksums.write(folder)


def timed(script: str, *arguments: str) -> dict[str, float]:
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    line = [sys.executable, str(SRC / script), *arguments]
    subprocess.run(line, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"wall": round(wall, 2), "cpu": round(cpu, 2)}


def first_words(folder: str, jobs: int) -> dict[str, float]:
    """Until the sweep's first line; then it is stopped."""
    swept = f"distill.temperature=range(1,{jobs + 1})"
    line = [sys.executable, str(SRC / "train.py"), "-m", swept, f"runs={folder}/swept"]
    start = time.perf_counter()
    with subprocess.Popen(
        line, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout is not None
        said = process.stdout.readline()
        wall = time.perf_counter() - start
        process.terminate()
    assert f"{jobs:,}" in said, said
    return {"wall": round(wall, 2)}


def start(folder: str) -> dict[str, dict[str, float]]:
    """One epoch of one network on digits, and the same command again."""
    words = ["recipe=[student]", "debug=fast", "trainer.threads=1", f"runs={folder}/started"]
    ways = ("one epoch on digits", "the same again")
    return {way: timed("train.py", *words) for way in ways}


def stage(name: str, shape: tuple[int, int, int], rounds: int = 3) -> dict[str, float]:
    """What a store does with a network whose stage is over; the median of a few."""
    torch.set_num_threads(1)
    settings = yaml.safe_load((CONF / f"model/{name}.yaml").read_text(encoding="utf-8"))
    own = {key: value for key, value in settings.items() if key != "name"}
    spec = ModelSpec(
        own | ({"architecture": "resnet50"} if name == "torchvision" else {}), shape, 10
    )
    batch = Batch(torch.rand(8, *shape), torch.zeros(8, dtype=torch.long), torch.arange(8))
    data: Any = SimpleNamespace(
        task=Multiclass(10),
        vocabulary=None,
        classes=[f"{label}" for label in range(10)],
        example=lambda count=1: batch.image[:count],
        test_dataloader=lambda: [batch],
        val_dataloader=lambda: [batch],
    )
    ctx: Any = SimpleNamespace(data=data, trusted=())
    kind: Any = SimpleNamespace(word="student", uses_teacher=False)
    found = []
    for _ in range(rounds):
        outcome = StageResult(spec, spec.build().eval())
        measure = partial(measured, kind, outcome, ctx)
        with tempfile.TemporaryDirectory() as root:
            wall, cpu = time.perf_counter(), time.process_time()
            Store(Path(root)).get_or_make(
                "student", "0" * 16, lambda place, work=measure: work(place.folder, StageInputs())
            )
            found.append((time.perf_counter() - wall, time.process_time() - cpu))
    walls, cpus = zip(*found, strict=True)
    return {"wall": round(median(walls), 2), "cpu": round(median(cpus), 2)}


if __name__ == "__main__":
    main()
