"""experiment=transfer: labels, and objectives on features; the same command again goes on.

    python experiments/transfer/run.py data.root=FOLDER [overrides of train.py]

The teacher is that of experiment=joint. Each weight, and the learning rate of labels, is the best
of four on validation.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tuned import TEACHER, Arm, compare, make_teacher

WEIGHTS = {"at": "1,10,100,1000", "fitnet": "0.1,1,10,100", "pkt": "30,300,3000,30000"}

LOADED = f"teacher.load={TEACHER}"
ARMS = {"labels": Arm((LOADED, "distill=labels"), tries="1e-3,2e-3,4e-3,8e-3")} | {
    name: Arm((LOADED, f"distill={name}"), f"distill.terms.{name}.weight", tries)
    for name, tries in WEIGHTS.items()
}

if __name__ == "__main__":
    make_teacher(sys.argv[1:])
    compare("transfer", ARMS, "1,2,3,4,5", sys.argv[1:], "size/packed_bytes")
