"""experiment=joint from the teacher to the figure; the same command again goes on where it was.

    python experiments/joint/run.py data.root=FOLDER [overrides of train.py]

Every arm trains for 36 epochs in all, in equal shares for what it does one after the other. Its
knobs are those of the best of four tries on validation, under a seed that does not count later:
four learning rates; or two, and two of kd's alpha, where the arm has kd.
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
TUNING_SEED, SEEDS = 0, (1, 2, 3)
PARTIAL = "_target_:condenser.functional.schedules.{},_partial_:true"
# what is quantised from a point on trains in one stage, whose learning rate restarts for each step
CYCLES = "optim:{{schedule:{{" + PARTIAL.format("cosine") + ",cycles:{}}}}}"
LATE = "prune:{{until:{},schedule:{{" + PARTIAL.format("cubic") + ",begin:{}}}}}"


class Arm(NamedTuple):
    """A recipe without its teacher and its export, and what else it takes."""

    stages: str
    overrides: tuple[str, ...] = ()

    @property
    def alpha(self) -> str | None:
        """The key of kd's alpha, where the arm has kd."""
        if "distill=labels_then_kd" in self.overrides:
            return "distill.terms.kd.objective.alpha"
        return "distill.alpha" if "distill" in self.stages or "tune" in self.stages else None

    @property
    def tries(self) -> list[str]:
        if self.alpha is None:
            return ["optim.lr=1e-3,2e-3,4e-3,8e-3"]
        return ["optim.lr=2e-3,4e-3", f"{self.alpha}=0.1,0.5"]


def quantize(epochs: int, *settings: str) -> str:
    return f"{{quantize:{{{','.join([f'epochs:{epochs}', *settings])}}}}}"


THEN_KD = ("distill=labels_then_kd", "quantize.objective=distill")
JOINT = ("quantize=joint", "quantize.bits=8", "quantize.activation_bits=8", "quantize.prune.rate=0.9")
TINY = "student.model.widths=[2,5,14]"
ARMS = {
    "nothing": Arm("{student:{epochs:36}}"),
    "D": Arm("{distill:{epochs:36}}"),
    "P": Arm("{student:{epochs:18}},{prune:{epochs:18}}"),
    "Q": Arm("{student:{epochs:18}},{quantize:{epochs:18}}"),
    "D-P-Q": Arm("distill,prune,quantize"),
    "P-Q-D": Arm(
        "{student:{epochs:9}},{prune:{epochs:9}}," + quantize(18, CYCLES.format(2)), THEN_KD
    ),
    "P-D-Q": Arm("{student:{epochs:9}},{prune:{epochs:9}},{tune:{epochs:9}},{quantize:{epochs:9}}"),
    "DPQ": Arm("{student:{epochs:18}},{quantize:{epochs:18,objective:distill}}", JOINT),
    "D-P": Arm("{distill:{epochs:18}},{prune:{epochs:18}}"),
    "P-D": Arm("student,prune,tune"),
    "D-Q": Arm("{distill:{epochs:18}},{quantize:{epochs:18}}"),
    "Q-D": Arm("student," + quantize(24, CYCLES.format(2)), THEN_KD),
    "P-Q": Arm("student,prune,quantize"),
    "Q-P": Arm("student," + quantize(24, CYCLES.format(2), LATE.format(0.75, 0.66667)), JOINT),
    "D-DP-DQ": Arm("distill,{prune:{objective:distill}},{quantize:{objective:distill}}"),
    "D-DPQ": Arm("{distill:{epochs:18}},{quantize:{epochs:18,objective:distill}}", JOINT),
    "P small": Arm("{student:{epochs:18}},{prune:{epochs:18}}", ("prune.rate=0.97",)),
    "Q small": Arm("{student:{epochs:18}},{quantize:{epochs:18}}", ("quantize.bits=1",)),
    "D small": Arm("{distill:{epochs:36}}", (TINY,)),
}


def main(arguments: list[str]) -> None:
    train("name=joint_teacher", "run=teacher", "recipe=[teacher]", "data.limit=12000",
          "teacher.epochs=20", "optim.batch_size=128", *arguments)  # fmt: skip
    for name, arm in ARMS.items():
        knobs = tuned(name, arm, arguments)
        seeds = f"seed={','.join(map(str, SEEDS))}"
        sweep(name, arm, "joint", [seeds, *knobs, *arguments], "export")
        collect()


def tuned(name: str, arm: Arm, arguments: list[str]) -> list[str]:
    """The overrides of the try that is best on validation; of equal ones the first."""
    sweep(name, arm, "joint_tuning", [f"seed={TUNING_SEED}", *arm.tries, *arguments])
    keys = [word.partition("=")[0] for word in arm.tries]
    best = max(finals("joint_tuning", name), key=lambda r: r["results"]["val/accuracy"])
    said = best["lineage"]["command"].split()
    return [word for key in keys for word in said if word.strip("'").startswith(f"{key}=")]


def sweep(name: str, arm: Arm, experiment: str, words: list[str], *after: str) -> None:
    knobs = "".join(f",{word}=${{{word}}}" for word in ["optim.lr", arm.alpha] if word)
    train("-m", "hydra/launcher=basic", f"name={experiment}", f"run={name},seed=${{seed}}{knobs}",
          f"teacher.load={TEACHER}", f"recipe=[{','.join(['teacher', arm.stages, *after])}]",
          *arm.overrides, *words)  # fmt: skip


def train(*words: str) -> None:
    """One command of train.py; what is done already is not done again."""
    subprocess.run([sys.executable, str(TRAIN), "experiment=joint", *words], check=True)


def finals(experiment: str, name: str) -> Iterator[Mapping[str, Any]]:
    """The last record of each run of an arm."""
    for file in sorted(Path("runs", experiment).glob(f"{name},seed=*/records.jsonl")):
        yield json.loads(file.read_text().splitlines()[-1])


def collect() -> None:
    """What came out of each arm, and the teacher, as records of the experiment; table and figure."""
    teacher = json.loads((TEACHER / "records.jsonl").read_text())
    found = [teacher, *(record for name in ARMS for record in finals("joint", name))]
    (HERE / "records.jsonl").write_text("".join(f"{json.dumps(one)}\n" for one in found))
    subprocess.run([sys.executable, str(REPORT), str(HERE), "--x", "size/packed_bytes"], check=True)


if __name__ == "__main__":
    main(sys.argv[1:])
