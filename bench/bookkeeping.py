"""Seconds of what is not training: python bench/bookkeeping.py [--count 10000] [--jobs 100000]

A report of many records, the listing of a store of many entries, and how soon a large sweep says
what it is doing. Aims on an idle machine: 5 s (at most 10), 2 s, 1 s.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import records

SRC = Path(__file__).resolve().parents[1] / "src"
sys.path.insert(0, str(SRC))

from condenser.files import write_json  # noqa: E402
from condenser.store import checksums, marker  # noqa: E402
from condenser.store.entries import INGREDIENTS, MODEL, RECORD, WEIGHTS  # noqa: E402


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=10_000, help="records, and entries")
    parser.add_argument("--jobs", type=int, default=100_000, help="of the sweep")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        runs, store = Path(folder, "runs"), Path(folder, "store")
        records.main(runs, options.count)
        entries(store, options.count)
        found = {
            "report": timed("report.py", str(runs), "--out", f"{folder}/out"),
            "store ls": timed("store.py", "ls", "--store", str(store), "--runs", str(runs)),
            "first words of a sweep": first_words(folder, options.jobs),
        }
    print(json.dumps(found, indent=1))


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


if __name__ == "__main__":
    main()
