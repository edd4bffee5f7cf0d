"""Samples per second of the distillation step, beside what it replaces. Run it with make bench.

plain      a hand-written PyTorch loop fed by torchvision's MNIST through DataLoader
in-memory  the same loop over Condenser's batches, without Lightning
condenser  the whole path: DataModule, Distillation, Lightning

MNIST-shaped images, batch 128, T=4, α=0.1. The three run in turn, round after round; medians, and
the median of the ratios within a round.
"""

from __future__ import annotations

import argparse
import gzip
import statistics
import struct
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from condenser import measure, models
from condenser.data import DataModule, mnist
from condenser.distill import KD
from condenser.training.distillation import Distillation
from condenser.training.fit import fit
from condenser.training.student import Plan

BATCH, TEMPERATURE, ALPHA = 128, 4.0, 0.1
PAIRS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "mlp 784-128-10 → 784-64-10": (
        {"_target_": "condenser.models.MLP", "widths": [128]},
        {"_target_": "condenser.models.MLP", "widths": [64]},
    ),
    "lenet5 → a tenth": (
        {"_target_": "condenser.models.LeNet5"},
        {"_target_": "condenser.models.LeNet5", "widths": [6, 16, 150]},
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--samples", type=int, default=20_000, help="in one round")
    parser.add_argument("--workers", type=int, default=2, help="of the plain loop's DataLoader")
    options = parser.parse_args()
    print(measure.hardware(), measure.versions(), f"{torch.get_num_threads()} threads", sep=" · ")
    with tempfile.TemporaryDirectory() as folder:
        write_mnist(Path(folder), options.samples)
        for name, pair in PAIRS.items():
            compare(name, pair, Path(folder), options)


def compare(name: str, pair: tuple[dict, dict], root: Path, options: argparse.Namespace) -> None:
    """Run the three ways in turn and print a line for each."""
    data = DataModule(
        "mnist", mnist, root, batch_size=BATCH, val_fraction=0.02, mean=[0.13], std=[0.31]
    )
    data.setup()
    ways: dict[str, Callable[[], float]] = {
        "plain": partial(plain, pair, loader(root, options.workers)),
        "in-memory": partial(in_memory, pair, data),
        "condenser": partial(condenser, pair, data),
    }
    rates: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(options.rounds):
        for way, run in ways.items():
            rates[way].append(run())
    print(f"\n{name}, {options.rounds} rounds of {options.samples:,} samples")
    for way, rate in rates.items():
        ratios = [own / other for own, other in zip(rates["condenser"], rate, strict=True)]
        print(
            f"  {way:<10} {statistics.median(rate):>10,.0f} samples/s"
            f"   condenser is {statistics.median(ratios):.2f}× of it"
            f" ({min(ratios):.2f}–{max(ratios):.2f})"
        )


def networks(pair: tuple[dict, dict]) -> tuple[nn.Module, nn.Module]:
    teacher, student = (models.build(one, (1, 28, 28), 10) for one in pair)
    return teacher.eval(), student


def learn(
    batches: Iterable[Any], teacher: nn.Module, student: nn.Module, device: str = "cpu"
) -> float:
    """The loop that people write by hand; samples per second."""
    teacher, student = teacher.to(device), student.to(device)
    optimizer = torch.optim.SGD(student.parameters(), lr=0.01, momentum=0.9)
    seen, started = 0, time.perf_counter()
    for batch in batches:
        images, targets = (part.to(device, non_blocking=True) for part in batch[:2])
        with torch.no_grad():
            taught = teacher(images)
        loss = objective(student(images), taught, targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        seen += len(images)
    float(loss.detach())  # waits for a GPU
    return seen / (time.perf_counter() - started)


def objective(student: Tensor, teacher: Tensor, target: Tensor) -> Tensor:
    hard = F.cross_entropy(student, target)
    soft = F.kl_div(
        F.log_softmax(student / TEMPERATURE, 1),
        F.softmax(teacher / TEMPERATURE, 1),
        reduction="batchmean",
    )
    return ALPHA * hard + (1 - ALPHA) * TEMPERATURE**2 * soft


def plain(pair: tuple[dict, dict], batches: Iterable[Any]) -> float:
    return learn(batches, *networks(pair))


def in_memory(pair: tuple[dict, dict], data: DataModule) -> float:
    """Condenser's step without Lightning: batches in memory, teacher computed once."""
    teacher, student = networks(pair)
    student.to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(student.parameters(), lr=0.01, momentum=0.9)
    kd, seen = KD(TEMPERATURE, ALPHA), 0
    data.trainer = None
    with torch.no_grad():
        parts = [(batch.index, teacher(batch.image)) for batch in data.whole_train()]
    index, logits = (torch.cat(side) for side in zip(*parts, strict=True))
    taught = torch.empty_like(logits).index_copy_(0, index, logits)
    started = time.perf_counter()
    for batch in data.train_dataloader():
        logits = student(batch.image)
        terms = kd(type_of(logits), type_of(taught[batch.index]), batch.target)
        optimizer.zero_grad()
        terms["loss"].backward()
        optimizer.step()
        seen += len(batch.target)
    return seen / (time.perf_counter() - started)


def type_of(logits: Tensor) -> Any:
    from condenser.distill import Outputs

    return Outputs(logits)


def condenser(pair: tuple[dict, dict], data: DataModule) -> float:
    teacher, student = networks(pair)
    plan = Plan(partial(torch.optim.SGD, momentum=0.9), lr=0.01, epochs=1, batch_size=BATCH)
    module = Distillation(student, plan, data, objective=KD(TEMPERATURE, ALPHA), teacher=teacher)
    return fit(module, {"accelerator": "cpu", "devices": 1}).samples_per_second


def loader(root: Path, workers: int) -> Iterable[Any]:
    from torch.utils.data import DataLoader
    from torchvision import datasets, transforms

    steps = transforms.Compose([transforms.ToTensor(), transforms.Normalize(0.13, 0.31)])
    images = datasets.MNIST(str(root), train=True, transform=steps)
    return DataLoader(images, BATCH, shuffle=True, num_workers=workers)


def write_mnist(root: Path, count: int) -> None:
    """Files of MNIST's own format with random pixels: the bench needs no download."""
    folder = root / "MNIST" / "raw"
    folder.mkdir(parents=True)
    generator = torch.Generator().manual_seed(0)
    for part, n in (("train", count), ("t10k", 1000)):
        pixels = torch.randint(0, 256, (n, 28, 28), dtype=torch.uint8, generator=generator)
        labels = (torch.arange(n) % 10).to(torch.uint8)
        for kind, tensor in (("images-idx3", pixels), ("labels-idx1", labels)):
            header = struct.pack(f">I{tensor.dim()}I", 0x800 + tensor.dim(), *tensor.shape)
            content = header + tensor.numpy().tobytes()
            (folder / f"{part}-{kind}-ubyte").write_bytes(content)
            (folder / f"{part}-{kind}-ubyte.gz").write_bytes(gzip.compress(content, 1))


if __name__ == "__main__":
    main()
