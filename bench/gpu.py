"""The GPU in one script, nine minutes at most: make gpu DATA=FOLDER; again, and it goes on.

right   lenet5 on digits, a few epochs, three seeds: in float32 on the CPU, in bf16 with data on the
        GPU, and compiled: the accuracies must be alike
step    a distillation step as the field writes it (DataLoader with transforms, float32) and ours
        (bf16, images on the GPU), on the same card in turn
queue   experiments/QUEUE.md's lines that wait for a GPU, by priority, until the time is over

What is found is written to bench/results/gpu.json as soon as it is known. ``--device cpu --tiny``
goes the same way without a GPU.
"""

from __future__ import annotations

import argparse
import json
import re
import shlex
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "src"))

import torch  # noqa: E402
from step import ALPHA, TEMPERATURE, learn  # noqa: E402
from torch import Tensor, nn  # noqa: E402

from condenser import measure, models  # noqa: E402
from condenser.data import DataModule, synthetic  # noqa: E402
from condenser.data.augment import HorizontalFlip, RandomCrop  # noqa: E402
from condenser.distill import KD  # noqa: E402
from condenser.files import read_json, write_json  # noqa: E402
from condenser.runs import records  # noqa: E402
from condenser.training.distillation import Distillation  # noqa: E402
from condenser.training.fit import fit  # noqa: E402
from condenser.training.plan import Plan  # noqa: E402

QUEUE = ROOT / "experiments" / "QUEUE.md"
WAITING = "## Experiments that wait for a GPU"
BATCH = 64
LEAST = 20  # seconds that are worth beginning something
NEAR = 0.01  # accuracies this near are alike, whatever their spread


class Result(dict[str, Any]):
    """What is known so far, on disk after every step; of another commit or card it begins anew."""

    def __init__(self, file: Path, **where: Any) -> None:
        old = read_json(file) if file.exists() else {}
        super().__init__(old if where.items() <= old.items() else where)
        self.file = file

    def once(self, name: str, find: Callable[[], Any]) -> Any:
        if name not in self:
            self[name] = find()
            write_json(self.file, self)
        print(f"{name}: {json.dumps(self[name])}", flush=True)
        return self[name]


def main(words: list[str] | None = None) -> int:
    options = parsed(words)
    until = time.monotonic() + 60 * options.minutes
    if options.device == "cuda" and not torch.cuda.is_available():
        print("gpu: torch sees no GPU here; --device cpu --tiny tries the script out")
        return 1
    card = torch.cuda.get_device_name() if options.device == "cuda" else measure.hardware()
    result = Result(options.out, commit=measure.commit(), card=card, versions=measure.versions())
    wrong = []
    for way, settings in ways(options).items():
        find = partial(accuracies, way, settings, options, until)
        result.once(f"right/{way}", find)
        if way != "cpu" and not alike(result["right/cpu"], result[f"right/{way}"]):
            wrong.append(way)
    if wrong:
        print(f"gpu: accuracy is not the CPU's: {', '.join(wrong)}; nothing else is run")
        return 1
    result.once("step", partial(step, options))
    there = options.data is not None and (options.data / "cifar-100-python").is_dir()
    lines = [line for line in waiting(QUEUE) if there or "experiment=cifar100" not in line]
    if not there:
        print("without CIFAR-100: --data names no folder that holds cifar-100-python")
    for line in lines:
        if f"queue/{line}" not in result and until - time.monotonic() < LEAST:
            print("time is over: the same command goes on from here")
            break
        run_line(line, options, until, result)
    print(f"commit: git add {options.out}; of what has ended, records of {options.runs}/NAME")
    return 0


def parsed(words: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, help="holds cifar-100-python; without it no queue")
    parser.add_argument("--minutes", type=float, default=9)
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    parser.add_argument("--out", type=Path, default=ROOT / "bench" / "results" / "gpu.json")
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--tiny", action="store_true", help="sizes at which nothing is learnt")
    return parser.parse_args(words)


def ways(options: argparse.Namespace) -> dict[str, list[str]]:
    """How the short run is made: on the CPU, and as the GPU is used."""
    if options.device == "cpu":
        fast = ["trainer=cpu", "trainer.precision=bf16-mixed"]
        return {"cpu": ["trainer=cpu", "trainer.precision=32-true"], "bf16": fast}
    fast = ["trainer=gpu", "trainer.precision=bf16-mixed"]
    compiled = [*fast, "trainer.compile=true"]
    return {
        "cpu": ["trainer=cpu", "trainer.precision=32-true"],
        "bf16": fast,
        "compiled": compiled,
    }


def accuracies(
    way: str, settings: list[str], options: argparse.Namespace, until: float
) -> list[float]:
    """Test accuracy of each seed."""
    seeds, epochs = ((0,), 1) if options.tiny else ((0, 1, 2), 10)
    found = []
    for seed in seeds:
        own = ["recipe=[teacher]", "model@teacher.model=lenet5", f"optim.epochs={epochs}"]
        own += [f"seed={seed}", "name=gpu_right", f"run={way}-{seed}", *settings]
        code = train(own, options, until)
        if code != 0:
            raise SystemExit(f"gpu: {shlex.join(own)} ended with {code}")
        (record,) = records.read([options.runs / "gpu_right" / f"{way}-{seed}"])
        found.append(float(str(record["test/accuracy"])))
    return found


def alike(one: list[float], other: list[float]) -> bool:
    """Means no further apart than three standard errors."""
    spread = sum(statistics.variance(a) / len(a) for a in (one, other) if len(a) > 1) ** 0.5
    return abs(statistics.mean(one) - statistics.mean(other)) <= max(3 * spread, NEAR)


def train(words: list[str], options: argparse.Namespace, until: float) -> int | None:
    """One run by the command line; None where the time was over, and it goes on the next time."""
    line = [sys.executable, str(ROOT / "src" / "train.py"), *words]
    line += ["logger=csv", "trainer.progress=false", f"runs={options.runs}"]
    try:
        left = max(until - time.monotonic(), 1)
        return subprocess.run(line, timeout=left, stdout=subprocess.DEVNULL).returncode
    except subprocess.TimeoutExpired:
        return None


def step(options: argparse.Namespace) -> dict[str, float]:
    """Samples per second of both loops in turn, medians, and the median of the ratios."""
    sides, count = ((3, 8, 8), 256) if options.tiny else ((3, 32, 32), 10_000)
    pair = [{"_target_": "condenser.models.CifarResNet", "depth": d} for d in (56, 20)]
    if options.tiny:
        pair = [{"_target_": "condenser.models.MLP", "widths": [w]} for w in (16, 8)]
    source = partial(synthetic, n=count, shape=sides, num_classes=100)
    data = DataModule("step", source, batch_size=BATCH, augment=[RandomCrop(1), HorizontalFlip()])
    data.setup()
    images = data.parts.train.read(torch.arange(data.train_size)).cpu()
    targets = data.parts.train.targets
    rates: dict[str, list[float]] = {"field": [], "ours": []}
    for _ in range(1 if options.tiny else 4):
        rates["field"].append(field(networks(pair, sides), images, targets, options))
        rates["ours"].append(ours(networks(pair, sides), data, options))
    rates = {way: rate[1:] or rate for way, rate in rates.items()}  # the first warms up
    ratios = [own / other for own, other in zip(rates["ours"], rates["field"], strict=True)]
    resident = next(iter(data.train_dataloader())).image.device.type == options.device
    medians = {way: round(statistics.median(rate), 1) for way, rate in rates.items()}
    return {**medians, "ratio": round(statistics.median(ratios), 2), "resident": resident}


def networks(pair: list[dict[str, Any]], sides: tuple[int, ...]) -> tuple[nn.Module, nn.Module]:
    teacher, student = (models.build(one, sides, 100) for one in pair)
    return teacher.eval(), student


def field(
    pair: tuple[nn.Module, nn.Module], images: Tensor, targets: Tensor, options: argparse.Namespace
) -> float:
    """The loop that people write: images decoded by workers, augmented one by one, float32."""
    from torch.utils.data import DataLoader
    from torchvision.transforms import v2

    augment = v2.Compose([v2.RandomCrop(images.shape[-1], padding=1), v2.RandomHorizontalFlip()])
    scaled = [(image, target) for image, target in zip(images, targets, strict=True)]
    workers = 0 if options.tiny else 4
    batches = DataLoader(
        Augmented(scaled, augment), BATCH, shuffle=True, num_workers=workers, pin_memory=workers > 0
    )
    return learn(batches, *pair, device=options.device)


class Augmented(torch.utils.data.Dataset[tuple[Tensor, Tensor]]):
    """Images of bytes, turned to floats and augmented as they are asked for."""

    def __init__(self, images: list[tuple[Tensor, Tensor]], augment: nn.Module) -> None:
        self.images, self.augment = images, augment

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, place: int) -> tuple[Tensor, Tensor]:
        image, target = self.images[place]
        return (self.augment(image).float() / 255 - 0.5) / 0.5, target


def ours(pair: tuple[nn.Module, nn.Module], data: DataModule, options: argparse.Namespace) -> float:
    teacher, student = pair
    plan = Plan(partial(torch.optim.SGD, momentum=0.9), lr=0.01, epochs=1, batch_size=BATCH)
    module = Distillation(student, plan, data, objective=KD(TEMPERATURE, ALPHA), teacher=teacher)
    accelerator = "gpu" if options.device == "cuda" else "cpu"
    settings = {"accelerator": accelerator, "devices": 1, "precision": "bf16-mixed"}
    return fit(module, settings).samples_per_second


def waiting(queue: Path) -> Iterator[str]:
    """The commands of its tables that wait for a GPU, in their order; other seeds after all."""
    part = queue.read_text(encoding="utf-8").partition(WAITING)[2]
    lines = re.findall(r"`python src/train\.py ([^`]+)`", part)
    yield from lines
    for seed in (1, 2):
        yield from (f"{line} seed={seed}" for line in lines if "model@student" in line)


def run_line(line: str, options: argparse.Namespace, until: float, result: Result) -> None:
    words = [word for word in shlex.split(line) if word != "logger=csv"]
    if "experiment=cifar100" in words:
        words.append(f"data.root={options.data}")
    if options.tiny:
        words = [
            w
            for w in words
            if w not in ("trainer=gpu", "trainer.compile=true", "trainer.precision=bf16-mixed")
        ]
        words += ["debug=fast", "recipe=[student]", "trainer=cpu"]
    if f"queue/{line}" not in result and (code := train(words, options, until)) != 0:
        why = "goes on the next time" if code is None else f"ended with {code}"
        print(f"{why}: {line}", flush=True)
        return
    result.once(f"queue/{line}", lambda: "done")


if __name__ == "__main__":
    sys.exit(main())
