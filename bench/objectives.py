"""The time of a training step with each objective of conf/distill, beside plain kd's.

What the teacher says is computed beforehand; its own forward pass, which features need in every
step, has a column. Steps are taken in turn (kd, X, teacher, kd, X, …); medians, and the median and
IQR of the ratios within a round. kd's own line is the noise of the rest. Run it with make bench.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping
from copy import deepcopy
from itertools import cycle
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

import torch
from omegaconf import OmegaConf

from condenser import measure, models
from condenser.config.instantiate import build
from condenser.data import Batch
from condenser.distill import Objective, Outputs
from condenser.tasks import Multiclass
from condenser.training.distillation import build_projectors

CONF = Path(__file__).resolve().parents[1] / "conf"
STUDENT, TEACHER, SHAPE, CLASSES, BATCHES = "resnet8", "resnet20", (3, 32, 32), 100, 4
SAMPLES = 50_000  # in the training set, of which the batches are the first: some keep all in mind
LR = 1e-6  # the weights hardly move: with random labels some objectives might diverge
AIMS = {"logits": 1.1, "features": 1.5}  # × kd's step
CACHED_AIM = 1.15  # × the step of learning from labels
AROUND = ("defaults", "optim")  # in the distill section, and not the objective's

Call = Callable[[], object]
Ask = Callable[[Batch], Outputs]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--steps", type=int, default=100, help="of an objective, at most")
    parser.add_argument("--seconds", type=float, default=4.5, help="for an objective, in all")
    parser.add_argument("--threads", type=int, default=1)
    found = sorted(path.stem for path in (CONF / "distill").glob("*.yaml"))
    parser.add_argument("--only", nargs="+", choices=found, default=found, metavar="NAME")
    options = parser.parse_args()
    print(measure.hardware(), measure.versions(), f"{options.threads} threads", sep=" · ")
    print(f"{STUDENT} ← {TEACHER}, batch {options.batch}\n")
    with measure.settled(options.threads):
        bench = Bench(options.batch, options.steps, options.seconds)
        columns = f"{'step ms':>9}{'× kd':>7}{'IQR':>7}  {'aim':<12}{'teacher ms':>10}{'steps':>7}"
        print(f"{'objective':<20}{'sees':<10}{columns}")
        lines = [bench.against_kd(name) for name in options.only]
        for kind, aim in AIMS.items():
            met = [ratio <= aim for sees, ratio in lines if sees == kind]
            print(f"{kind}: {sum(met)} of {len(met)} within {aim}× kd")
        bench.against_labels()


class Bench:
    """Two networks and batches of random images; every measurement begins with fresh copies."""

    def __init__(self, size: int, steps: int, seconds: float) -> None:
        torch.manual_seed(0)
        self.steps, self.seconds = steps, seconds
        self.student, self.teacher = (
            models.build(read(f"model/{name}"), SHAPE, CLASSES) for name in (STUDENT, TEACHER)
        )
        self.student.to(memory_format=torch.channels_last)  # as in training; the teacher is not
        self.teacher.eval().requires_grad_(False).to(memory_format=torch.channels_last)
        self.targets = torch.randint(CLASSES, (SAMPLES,))
        self.batches = [
            Batch(torch.randn(size, *SHAPE), self.targets[index], index)
            for index in torch.arange(BATCHES * size).split(size)
        ]

    def against_kd(self, name: str) -> tuple[str, float]:
        """Print the objective's line; what it sees of the teacher, and its time over kd's."""
        step, teach, objective = self.step(name)
        times = self.times({"plain kd": self.step("kd")[0], name: step, "teacher": teach})
        sees = "features" if objective.student_layers else "logits"
        own, (ratio, spread) = times[name], inverse(times[name])
        taught = f"{times['teacher']['median']:.1f}" if objective.needs_teacher else "–"
        shown = f"{own['median']:>9.1f}{ratio:>7.2f}{spread:>7.2f}  {verdict(ratio, AIMS[sees])}"
        print(f"{name:<20}{sees:<10}{shown}{taught:>10}{own['n']:>7.0f}", flush=True)
        return sees, ratio

    def against_labels(self) -> None:
        """Print lines of kd with logits looked up, and with the teacher asked, beside labels."""
        with torch.no_grad():
            table = torch.cat([self.teacher(batch.image) for batch in self.batches])
        steps = {
            "labels": self.step("labels")[0],
            "kd, cached": self.step("kd", lambda batch: Outputs(table[batch.index]))[0],
            "kd, live": self.step("kd", lambda batch: Outputs(self.teacher(batch.image)))[0],
        }
        print(f"\n{'':<20}{'step ms':>9}{'× labels':>10}{'IQR':>7}")
        for way, own in self.times(steps).items():
            ratio, spread = inverse(own)
            met = verdict(ratio, CACHED_AIM) if way == "kd, cached" else ""
            print(f"{way:<20}{own['median']:>9.1f}{ratio:>10.2f}{spread:>7.2f}  {met}")

    def times(self, calls: dict[str, Call]) -> dict[str, dict[str, float]]:
        return measure.interleaved(calls, rounds=self.steps, budget_s=self.seconds)

    def step(self, name: str, ask: Ask | None = None) -> tuple[Call, Call, Objective]:
        """A training step, which may ``ask`` the teacher; its forward pass; the objective."""
        config = read(f"distill/{name}")
        objective = build({key: value for key, value in config.items() if key not in AROUND})
        objective.setup(Multiclass(CLASSES), self.targets)
        student, teacher = deepcopy(self.student), deepcopy(self.teacher)
        captures = build_projectors(objective, student, teacher, self.batches[0].image[:2])
        own, given = (capture.open() for capture in captures)
        learning = [*student.parameters(), *objective.parameters()]
        optimizer = torch.optim.SGD(learning, lr=LR, momentum=0.9, weight_decay=5e-4)

        @torch.no_grad()
        def teach(batch: Batch) -> Outputs:
            return Outputs(teacher(batch.image), given.take())

        turns = cycle([(batch, teach(batch)) for batch in self.batches])

        def step() -> None:
            batch, taught = next(turns)
            objective.progress(0.5)  # past every warm-up
            outputs = Outputs(student(batch.image), own.take(), batch.index)
            with torch.no_grad():
                taught = ask(batch) if ask else taught
            optimizer.zero_grad()
            objective(outputs, taught, batch.target)["loss"].backward()
            optimizer.step()

        return step, lambda: teach(self.batches[0]), objective


def read(name: str) -> Any:
    return OmegaConf.to_container(OmegaConf.load(CONF / f"{name}.yaml"), resolve=True)


def inverse(times: Mapping[str, float]) -> tuple[float, float]:
    """Median and IQR of this one's time over the first's, from those of the reverse."""
    return 1 / times["ratio"], times["ratio_iqr"] / times["ratio"] ** 2


def verdict(ratio: float, aim: float) -> str:
    return f"≤{aim} {'met' if ratio <= aim else 'missed'}".ljust(12)


if __name__ == "__main__":
    main()
