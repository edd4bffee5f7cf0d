"""Arms of an experiment compared fairly: each with its knob tuned, on as many tries, on validation.

The seed of the tries does not count later. Whatever is done already is not done again.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import arms as arms_of

ROOT = Path(__file__).resolve().parents[1]
TUNING_SEED = "0"
TEACHER = Path("runs/joint_teacher/teacher")  # of those that have few images


class Arm(NamedTuple):
    """One of what is compared.

    Attributes:
        overrides: what makes it, beside the experiment.
        knob: the setting that is tuned.
        tries: its values.
        after: what its recipe has, once tuned, where that is more than in the tries.
    """

    overrides: tuple[str, ...]
    knob: str = "optim.lr"
    tries: str = "1e-3,2e-3,4e-3"
    after: tuple[str, ...] = ()


def compare(
    experiment: str, arms: Mapping[str, Arm], seeds: str, overrides: list[str], x: str, *more: Path
) -> None:
    """Tune each arm, run it with ``seeds``, write its last records and those in ``more`` to
    experiments/NAME, and their table and figure over ``x``; after each arm what is there so far."""
    for name, arm in arms.items():
        sweep(experiment, f"{experiment}_tuning", name, arm, TUNING_SEED, arm.tries, overrides)
        sweep(experiment, experiment, name, arm, seeds, best(experiment, name, arm), overrides)
        collect(experiment, arms, x, more)


def sweep(
    experiment: str, folder: str, name: str, arm: Arm, seeds: str, values: str, more: list[str]
) -> None:
    own = [*arm.overrides, *(arm.after if folder == experiment else ())]
    train("-m", f"experiment={experiment}", "hydra/launcher=basic", f"name={folder}",
          f"run='{name} seed=${{seed}} try=${{{arm.knob}}}'", f"seed={seeds}",
          *own, f"{arm.knob}={values}", *more)  # fmt: skip


def best(experiment: str, name: str, arm: Arm) -> str:
    """The knob of the network that is best on validation; of equal ones the first."""
    tries = {
        tried(record): record["results"]["val/accuracy"]
        for record in finals(f"{experiment}_tuning", name)
    }
    values = {float(value) for value in arm.tries.split(",")}
    return max((one for one in tries if float(one) in values), key=lambda one: tries[one])


def finals(folder: str, name: str) -> Iterator[Mapping[str, Any]]:
    """The last record of each run of an arm, which says what came out of it."""
    for file in sorted(Path("runs", folder).glob(f"{name} seed=*/records.jsonl")):
        yield json.loads(file.read_text().splitlines()[-1])


def tried(record: Mapping[str, Any]) -> str:
    """The value of the knob that its run's name ends with."""
    return str(record["lineage"]["run"]).rpartition("=")[2]


def collect(experiment: str, arms: Mapping[str, Arm], x: str, more: tuple[Path, ...]) -> None:
    """The records as the experiment's; table and figure of its rows, and of its arms."""
    here = ROOT / "experiments" / experiment
    records = [json.loads((folder / "records.jsonl").read_text()) for folder in more]
    for name, arm in arms.items():
        found = list(finals(experiment, name))
        records += [one for one in found if tried(one) == best(experiment, name, arm)]
    here.mkdir(exist_ok=True)
    (here / "records.jsonl").write_text("".join(f"{json.dumps(one)}\n" for one in records))
    run("report.py", str(here), "--x", x)
    arms_of.write(here)


def make_teacher(overrides: list[str]) -> None:
    """TEACHER: LeNet-5 that saw 12,000 images of FashionMNIST."""
    train("experiment=joint", "name=joint_teacher", "run=teacher", "recipe=[teacher]",
          "data.limit=12000", "teacher.epochs=20", "optim.batch_size=128", *overrides)  # fmt: skip


def train(*words: str) -> None:
    run("train.py", *words)


def run(script: str, *words: str) -> None:
    subprocess.run([sys.executable, str(ROOT / "src" / script), *words], check=True)
