"""Many records to try the report on: python bench/records.py FOLDER [COUNT]

Copies of the records under experiments/ as runs of other seeds and settings.
"""

from __future__ import annotations

import json
import sys
from itertools import cycle, islice
from pathlib import Path

EXPERIMENTS = Path(__file__).resolve().parents[1] / "experiments"


def main(folder: Path, count: int = 10_000) -> None:
    """Write ``count`` records, eight a run, below ``folder``."""
    files = sorted(EXPERIMENTS.glob("*/records.jsonl"))
    lines = [line for file in files for line in file.read_text(encoding="utf-8").splitlines()]
    for number, line in enumerate(islice(cycle(lines), count)):
        copy = number // len(lines)
        record = json.loads(line)
        lineage = record["lineage"]
        lineage["run"] = f"{lineage['run']},copy={copy // 3}"
        lineage["seed"] = copy % 3
        lineage["key"] = f"{number:064x}"
        if lineage.get("group"):
            lineage["group"] = f"{lineage['group']}-{copy // 3}"
        run = folder / str(lineage["experiment"]) / f"{number // 8:05d}"
        run.mkdir(parents=True, exist_ok=True)
        with (run / "records.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:3]))
