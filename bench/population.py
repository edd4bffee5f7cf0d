"""A population beside the same jobs in two processes. Run it with make bench.

two processes   half of the jobs each, one after the other, on one thread: Distillation in Lightning
population      all jobs in one process, their steps made together, on as many threads as are said

Both without start: a sweep of processes also imports torch, reads data and loads its teacher once a
job, which --sweep has in it: the command with hydra.launcher.jobs=2 and with
hydra/launcher=population, digits. Images are random, batch 128, T and α differ. The ways run in
turn, round after round; medians, and the median of the ratios within a round, of seconds and of
seconds of CPU, which other work on the machine changes less.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

import torch
from torch import Tensor

from condenser import measure, models
from condenser.data import Arrays, DataModule
from condenser.distill import KD
from condenser.runs.turns import Turn, take
from condenser.training.distillation import Distillation
from condenser.training.fit import fit
from condenser.training.plan import Plan
from condenser.training.population.group import Population

ROOT, BATCH = Path(__file__).resolve().parents[1], 128
Cost = dict[str, float]  # wall, cpu: seconds
NETWORKS: dict[str, tuple[int, dict[str, Any], dict[str, Any], int]] = {
    # jobs, student, teacher, side of the images
    "16 of mlp 64-32-10": (
        16,
        {"_target_": "condenser.models.MLP", "widths": [32]},
        {"_target_": "condenser.models.MLP", "widths": [128]},
        8,
    ),
    "16 of mlp 784-64-10": (
        16,
        {"_target_": "condenser.models.MLP", "widths": [64]},
        {"_target_": "condenser.models.MLP", "widths": [128]},
        28,
    ),
    "8 of lenet5_tenth": (
        8,
        {"_target_": "condenser.models.LeNet5", "widths": [6, 16, 150]},
        {"_target_": "condenser.models.LeNet5"},
        28,
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--samples", type=int, default=4_000)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2, help="of the population")
    parser.add_argument("--sweep", action="store_true", help="whole sweeps by the command, too")
    parser.add_argument("--out", type=Path, help="a JSON file for the numbers")
    options = parser.parse_args()
    torch.set_num_threads(1)
    about = {"hardware": measure.hardware(), "versions": measure.versions()}
    about |= {
        "commit": measure.commit(),
        "options": {k: v for k, v in vars(options).items() if k != "out"},
    }
    print(*(str(one) for one in about.values()), sep=" · ")
    found = {name: compare(name, ways_of(name, options), options) for name in NETWORKS}
    if options.sweep:
        name = "sweep of 16 mlp_32 on digits, start included"
        found[name] = compare(
            name, {"two processes": by_jobs, "population": by_population}, options
        )
    if options.out:
        text = json.dumps({**about, "found": found}, indent=1, default=str)
        options.out.write_text(text + "\n", encoding="utf-8")


def compare(name: str, ways: dict[str, Callable[[], Cost]], options: argparse.Namespace) -> Any:
    """Run the ways in turn and print a line for each."""
    costs: dict[str, list[Cost]] = {way: [] for way in ways}
    for _ in range(options.rounds):
        for way, run in ways.items():
            costs[way].append(run())
    first, second = costs.values()
    ratios = {
        key: [one[key] / other[key] for one, other in zip(first, second, strict=True)]
        for key in ("wall", "cpu")
    }
    print(f"\n{name}, {options.rounds} rounds")
    for way, some in costs.items():
        medians = (f"{statistics.median(one[key] for one in some):.2f} s {key}" for key in ratios)
        print(f"  {way:<14}", *medians)
    for key, some in ratios.items():
        middle = statistics.median(some)
        print(f"  population {middle:.2f}× in {key} ({min(some):.2f}–{max(some):.2f})")
    return {"costs": costs, "ratios": {k: statistics.median(some) for k, some in ratios.items()}}


def ways_of(name: str, options: argparse.Namespace) -> dict[str, Callable[[], Cost]]:
    jobs = NETWORKS[name][0]
    halves = [(one_by_one, range(jobs)[start::2], 1) for start in (0, 1)]
    return {
        "two processes": partial(in_processes, name, halves, options),
        "population": partial(
            in_processes, name, [(all_at_once, range(jobs), options.threads)], options
        ),
    }


def in_processes(name: str, works: Sequence[Any], options: argparse.Namespace) -> Cost:
    """Each work in a forked process; seconds of the slowest, and of CPU in all."""
    context = multiprocessing.get_context("fork")
    told: Any = context.SimpleQueue()
    every = [context.Process(target=child, args=(name, work, options, told)) for work in works]
    for one in every:
        one.start()
    costs = [told.get() for _ in every]
    for one in every:
        one.join()
    return {"wall": max(c["wall"] for c in costs), "cpu": sum(c["cpu"] for c in costs)}


def child(name: str, work: Any, options: argparse.Namespace, told: Any) -> None:
    do, numbers, threads = work
    torch.set_num_threads(threads)
    torch.set_flush_denormal(True)
    students = [student(name, number, options) for number in numbers]
    wall, cpu = time.perf_counter(), time.process_time()
    do(students)
    told.put({"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu})


def one_by_one(students: Sequence[Distillation]) -> None:
    for one in students:
        trained(one)


def all_at_once(students: Sequence[Distillation]) -> None:
    turns = [Turn(partial(trained, one)) for one in students]
    take(turns, Population(print).serve)
    for turn in turns:
        if turn.error is not None:
            raise turn.error


def trained(one: Distillation) -> None:
    fit(one, {"accelerator": "cpu", "devices": 1})


def student(name: str, number: int, options: argparse.Namespace) -> Distillation:
    """One job: its own seed, temperature and α."""
    _, own, given, side = NETWORKS[name]
    data = DataModule(
        "random", partial(random, options.samples, side), batch_size=BATCH, seed=number
    )
    data.setup()
    torch.manual_seed(number)
    small, large = (models.build(one, data.input_shape, 10) for one in (own, given))
    sgd = partial(torch.optim.SGD, momentum=0.9)
    plan = Plan(sgd, lr=0.01, epochs=options.epochs, batch_size=BATCH)
    objective = KD(1.0 + number % 4, 0.1 * (number % 3))
    return Distillation(small, plan, data, objective=objective, teacher=large, seed=number)


def random(samples: int, side: int, _: Any = None) -> Arrays:
    generator = torch.Generator().manual_seed(0)
    shape = (samples, 1, side, side)
    pixels: Tensor = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
    return Arrays(pixels, torch.arange(samples) % 10)


def by_jobs() -> Cost:
    return command("hydra.launcher.jobs=2")


def by_population() -> Cost:
    return command("hydra/launcher=population")


def command(launcher: str) -> Cost:
    """A sweep of 16 jobs as a person types it, into an empty folder."""
    swept = ["seed=0,1,2,3", "distill.temperature=1,4", "distill.alpha=0.1,0.5", "teacher.seed=0"]
    words = [*swept, launcher, "logger=csv", "recipe=[teacher,distill]", "optim.epochs=20"]
    with tempfile.TemporaryDirectory() as folder:
        before, wall = os.times(), time.perf_counter()
        line = [sys.executable, str(ROOT / "src/train.py"), "-m", f"runs={folder}", *words]
        subprocess.run(line, check=True, stdout=subprocess.DEVNULL)
        after = os.times()
        spent = sum(after[2:4]) - sum(before[2:4])  # of processes that have ended
        return {"wall": time.perf_counter() - wall, "cpu": spent}


if __name__ == "__main__":
    main()
