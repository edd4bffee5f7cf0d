"""experiment=behaviour_fashion: every arm, seed after seed; the same command again goes on.

    python experiments/behaviour_fashion/all.py data.root=FOLDER [overrides of train.py]

Writes records, table and figures beside this file when all of a seed is done.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
SEEDS = (0, 1, 2)
ARMS = (
    ("recipe=[teacher,prune]", "prune.rate=0.5,0.8,0.9,0.95", "baselines=[dense]"),
    ("recipe=[teacher,quantize]", "quantize.bits=8,4,2"),
    ("recipe=[teacher,student,distill]", "distill=kd"),
    ("recipe=[teacher,distill]", "distill=hard_teacher", "distill.alpha=0"),  # labels of it alone
)


def main(overrides: list[str]) -> None:
    for seed in SEEDS:
        for arm in ARMS:
            words = [*arm, f"seed={seed}", "hydra.launcher.jobs=1", *overrides]
            train = [sys.executable, str(ROOT / "src/train.py"), "-m"]
            subprocess.run([*train, "experiment=behaviour_fashion", *words], check=True)
    runs = next((w.removeprefix("runs=") for w in overrides if w.startswith("runs=")), "runs")
    report = [sys.executable, str(ROOT / "src/report.py"), f"{runs}/behaviour_fashion"]
    subprocess.run([*report, "--out", str(HERE)], check=True)
    lines = [
        file.read_text() for file in sorted(Path(runs).glob("behaviour_fashion/*/records.jsonl"))
    ]
    unique = dict.fromkeys(line for text in lines for line in text.splitlines(keepends=True))
    (HERE / "records.jsonl").write_text("".join(unique))


if __name__ == "__main__":
    main(sys.argv[1:])
