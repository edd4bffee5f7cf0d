"""experiment=joint from the teacher to the figure; the same command again goes on where it was.

    python experiments/joint/run.py data.root=FOLDER [overrides of train.py]

Every arm trains for 24 epochs in all, in equal shares for what it does one after the other. Its
learning rate is the best of four on validation.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tuned import TEACHER, Arm, compare, make_teacher

PARTIAL = "_target_:condenser.functional.schedules.{},_partial_:true"
# what is quantised from a point on trains in one stage, whose learning rate restarts for each step
RESTARTS = "optim:{schedule:{" + PARTIAL.format("cosine") + ",cycles:2}}"
LATE = "prune:{until:0.75,schedule:{" + PARTIAL.format("cubic") + ",begin:0.66667}}"
THEN_KD = ("distill=labels_then_kd", "quantize.objective=distill")
JOINT = (
    "quantize=joint",
    *(f"quantize.{k}" for k in ("bits=8", "activation_bits=8", "prune.rate=0.9")),
)
TINY = "student.model.widths=[2,6,15]"


def arm(stages: str, *overrides: str) -> Arm:
    """One recipe; the deployed file is made once the learning rate is chosen."""
    recipe = f"recipe=[teacher,{stages}]"
    exported = f"recipe=[teacher,{stages},export]"
    own = (recipe, f"teacher.load={TEACHER}", *overrides)
    return Arm(own, tries="1e-3,2e-3,4e-3,8e-3", after=(exported,))


# D distils, P prunes, Q quantises: one after the other, or at once (DPQ). The small ones are one of
# these alone, in as many bytes as all three leave
ARMS = {
    "nothing": arm("{student:{epochs:24}}"),
    "D": arm("{distill:{epochs:24}}"),
    "P": arm("{student:{epochs:12}},{prune:{epochs:12}}"),
    "Q": arm("{student:{epochs:12}},{quantize:{epochs:12}}"),
    "D-P-Q": arm("distill,prune,quantize"),
    "P-Q-D": arm(
        "{student:{epochs:6}},{prune:{epochs:6}},{quantize:{epochs:12," + RESTARTS + "}}", *THEN_KD
    ),
    "P-D-Q": arm("{student:{epochs:6}},{prune:{epochs:6}},{tune:{epochs:6}},{quantize:{epochs:6}}"),
    "DPQ": arm("{student:{epochs:12}},{quantize:{epochs:12,objective:distill}}", *JOINT),
    "D-DP-DQ": arm("distill,{prune:{objective:distill}},{quantize:{objective:distill}}"),
    "P small": arm("{student:{epochs:12}},{prune:{epochs:12}}", "prune.rate=0.965"),
    "Q small": arm("{student:{epochs:12}},{quantize:{epochs:12}}", "quantize.bits=1"),
    "D small": arm("{distill:{epochs:24}}", TINY),
    "D-P": arm("{distill:{epochs:12}},{prune:{epochs:12}}"),
    "P-D": arm("student,prune,tune"),
    "P-Q": arm("student,prune,quantize"),
    "Q-P": arm("student,{quantize:{epochs:16," + RESTARTS + "," + LATE + "}}", *JOINT),
    "D-Q": arm("{distill:{epochs:12}},{quantize:{epochs:12}}"),
    "Q-D": arm("student,{quantize:{epochs:16," + RESTARTS + "}}", *THEN_KD),
    "D-DPQ": arm("{distill:{epochs:12}},{quantize:{epochs:12,objective:distill}}", *JOINT),
}

if __name__ == "__main__":
    make_teacher(sys.argv[1:])
    compare("joint", ARMS, "1,2,3,4,5", sys.argv[1:], "size/packed_bytes", TEACHER)
