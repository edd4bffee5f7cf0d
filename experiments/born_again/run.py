"""experiment=born_again: labels, then three generations; the same command again goes on.

    python experiments/born_again/run.py data.root=FOLDER [overrides of train.py]

The learning rate of labels and kd's alpha of each generation are the best of three on validation.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tuned import Arm, compare

BEFORE = "{distill:{teachers:previous}}"
ARMS = {"labels": Arm(("recipe=[student]",))} | {
    f"generation {n}": Arm(
        (f"recipe=[student,{','.join([BEFORE] * n)}]",), "distill.alpha", "0.1,0.5,0.9"
    )
    for n in (1, 2, 3)
}

if __name__ == "__main__":
    compare("born_again", ARMS, "1,2,3,4,5", sys.argv[1:], "size/packed_bytes")
