"""experiment=joint from the teacher to the figure; the same command again goes on where it was.

    python experiments/joint/run.py data.root=FOLDER [overrides of train.py]

Every arm trains for 24 epochs in all, in equal shares for what it does one after the other. Its
learning rate is the best of three on validation, under a seed that does not count later.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

HERE = Path(__file__).resolve().parent
TRAIN, REPORT = HERE.parents[1] / "src/train.py", HERE.parents[1] / "src/report.py"
TEACHER = Path("runs/joint_teacher/teacher")
RATES, TUNING_SEED, SEEDS = "1e-3,2e-3,4e-3", "0", "1,2,3"
PARTIAL = "_target_:condenser.functional.schedules.{},_partial_:true"
# what is quantised from a point on trains in one stage, whose learning rate restarts for each step
CYCLES = "optim:{{schedule:{{" + PARTIAL.format("cosine") + ",cycles:{}}}}}"
LATE = "prune:{{until:{},schedule:{{" + PARTIAL.format("cubic") + ",begin:{}}}}}"


class Arm(NamedTuple):
    """A recipe without its teacher and its export, and what else it takes."""

    stages: str
    overrides: tuple[str, ...] = ()


def quantize(epochs: int, *settings: str) -> str:
    return f"{{quantize:{{{','.join([f'epochs:{epochs}', *settings])}}}}}"


THEN_KD = ("distill=labels_then_kd", "quantize.objective=distill")
JOINT = (
    "quantize=joint",
    "quantize.bits=8",
    "quantize.activation_bits=8",
    "quantize.prune.rate=0.9",
)
TINY = "student.model.widths=[2,5,14]"
# D distils, P prunes, Q quantises; one after the other, or at once (DPQ)
ARMS = {
    "nothing": Arm("{student:{epochs:24}}"),
    "D": Arm("{distill:{epochs:24}}"),
    "P": Arm("{student:{epochs:12}},{prune:{epochs:12}}"),
    "Q": Arm("{student:{epochs:12}},{quantize:{epochs:12}}"),
    "D-P-Q": Arm("distill,prune,quantize"),
    "P-Q-D": Arm(
        "{student:{epochs:6}},{prune:{epochs:6}}," + quantize(12, CYCLES.format(2)), THEN_KD
    ),
    "P-D-Q": Arm("{student:{epochs:6}},{prune:{epochs:6}},{tune:{epochs:6}},{quantize:{epochs:6}}"),
    "DPQ": Arm("{student:{epochs:12}},{quantize:{epochs:12,objective:distill}}", JOINT),
    "D-P": Arm("{distill:{epochs:12}},{prune:{epochs:12}}"),
    "P-D": Arm("student,prune,tune"),
    "D-Q": Arm("{distill:{epochs:12}},{quantize:{epochs:12}}"),
    "Q-D": Arm("student," + quantize(16, CYCLES.format(2)), THEN_KD),
    "P-Q": Arm("student,prune,quantize"),
    "Q-P": Arm("student," + quantize(16, CYCLES.format(2), LATE.format(0.75, 0.66667)), JOINT),
    "D-DP-DQ": Arm("distill,{prune:{objective:distill}},{quantize:{objective:distill}}"),
    "D-DPQ": Arm("{distill:{epochs:12}},{quantize:{epochs:12,objective:distill}}", JOINT),
    "P small": Arm("{student:{epochs:12}},{prune:{epochs:12}}", ("prune.rate=0.97",)),
    "Q small": Arm("{student:{epochs:12}},{quantize:{epochs:12}}", ("quantize.bits=1",)),
    "D small": Arm("{distill:{epochs:24}}", (TINY,)),
}


def main(overrides: list[str]) -> None:
    train("experiment=joint", "name=joint_teacher", "run=teacher", "recipe=[teacher]",
          "data.limit=12000", "teacher.epochs=20", "optim.batch_size=128", *overrides)  # fmt: skip
    for name, arm in ARMS.items():
        sweep("joint_tuning", name, arm, TUNING_SEED, RATES, *overrides)
        sweep("joint", name, arm, SEEDS, best_rate(name), *overrides)
        collect()


def sweep(experiment: str, name: str, arm: Arm, seeds: str, rates: str, *overrides: str) -> None:
    stages = ["teacher", arm.stages, *(["export"] if experiment == "joint" else [])]
    train("-m", "experiment=joint", "hydra/launcher=basic", f"name={experiment}",
          f"run='{name} seed=${{seed}} lr=${{optim.lr}}'", f"teacher.load={TEACHER}",
          f"recipe=[{','.join(stages)}]", f"seed={seeds}", f"optim.lr={rates}",
          *arm.overrides, *overrides)  # fmt: skip


def best_rate(name: str) -> str:
    """The learning rate whose network is best on validation; of equal ones the first."""
    best = max(finals("joint_tuning", name), key=lambda record: record["results"]["val/accuracy"])
    return str(best["lineage"]["run"]).rpartition("=")[2]


def train(*words: str) -> None:
    """One command of train.py; what is done already is not done again."""
    subprocess.run([sys.executable, str(TRAIN), *words], check=True)


def finals(experiment: str, name: str) -> Iterator[Mapping[str, Any]]:
    """The last record of each run of an arm, which says what came out of it."""
    for file in sorted(Path("runs", experiment).glob(f"{name} seed=*/records.jsonl")):
        yield json.loads(file.read_text().splitlines()[-1])


def collect() -> None:
    """The teacher's record and the arms', as the experiment's; their table and figure."""
    records = [json.loads((TEACHER / "records.jsonl").read_text())]
    records += [record for name in ARMS for record in finals("joint", name)]
    (HERE / "records.jsonl").write_text("".join(f"{json.dumps(one)}\n" for one in records))
    subprocess.run([sys.executable, str(REPORT), str(HERE), "--x", "size/packed_bytes"], check=True)


if __name__ == "__main__":
    main(sys.argv[1:])
