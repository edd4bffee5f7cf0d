"""experiment=hinton from the teacher to the figure; the same command again goes on where it was.

    python experiments/hinton/run.py data.root=FOLDER [overrides of train.py]

Students see the images as they are, the teacher moved by up to two pixels. The learning rate of
labels and kd's alpha of each other arm are the best of three on validation. Records have the
accuracy of each digit (class/3).
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tuned import Arm, compare, train

TEACHER = Path("runs/hinton_teacher/teacher")
JITTER = "data.augment=[{_target_:condenser.data.Shift,pixels:2}]"
THIN = (300, 100, 30)
LOADED = f"teacher.load={TEACHER}"


def taught(*overrides: str) -> Arm:
    return Arm((LOADED, *overrides), "distill.alpha", "0.1,0.5,0.9")


def width(n: int) -> str:
    return f"student.model.widths=[{n},{n}]"


ARMS = (
    {"800 alone": Arm((LOADED, "distill=labels"))}
    | {f"800 T={t}": taught(f"distill.temperature={t}") for t in (20, 1, 2, 4, 8, 40)}
    | {f"{n} alone": Arm((LOADED, "distill=labels", width(n))) for n in THIN}
    | {f"{n} T={t}": taught(f"distill.temperature={t}", width(n)) for n in THIN for t in (2.5, 8)}
    | {"800 T=20 without 3": taught("distill.temperature=20", "+data.omit=[3]")}
)

if __name__ == "__main__":
    overrides = sys.argv[1:]
    train("experiment=hinton", "name=hinton_teacher", "run=teacher", "recipe=[teacher]",
          "teacher.epochs=60", JITTER, *overrides)  # fmt: skip
    compare("hinton", ARMS, "1,2,3", overrides, "distill/temperature", TEACHER)
