"""Sources: functions that load a data set from a root folder into memory."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch

from condenser.data.samples import Arrays, Splits, split_test
from condenser.data.torchvision_sets import from_torchvision

_IDX = ", ".join(
    f"{part}-ubyte"
    for part in ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1")
)


def digits(root: object = None) -> Splits:
    """scikit-learn's 1,797 digits of 8×8 pixels; a fixed 20 % are the test set.

    The values 0…16 become round(255·v/16). Source: https://archive.ics.uci.edu/dataset/80
    """
    pixels, labels = _digits()
    images = torch.from_numpy(pixels).mul(255 / 16).round().to(torch.uint8)
    samples = Arrays(images.reshape(-1, 1, 8, 8), torch.from_numpy(labels).long())
    return split_test(samples, [str(name) for name in range(10)])


def _digits() -> tuple[Any, Any]:
    """Pixels (1797, 64) and labels. To import sklearn.datasets, and scipy with it, takes a second:
    its file is read where it lies."""
    found = find_spec("sklearn")
    place = Path(found.origin).parent if found and found.origin else Path()
    if (file := place / "datasets" / "data" / "digits.csv.gz").is_file():
        rows = np.loadtxt(file, delimiter=",")
        return rows[:, :-1], rows[:, -1]
    from sklearn.datasets import load_digits

    return load_digits(return_X_y=True)


def mnist(root: str | Path) -> Splits:
    """60,000 + 10,000 handwritten digits of 28×28. Source: http://yann.lecun.com/exdb/mnist"""
    return from_torchvision(root, "MNIST", place="MNIST/raw", files=_IDX)


def fashion_mnist(root: str | Path) -> Splits:
    """60,000 + 10,000 pieces of clothing of 28×28. Source: https://arxiv.org/abs/1708.07747"""
    return from_torchvision(root, "FashionMNIST", place="FashionMNIST/raw", files=_IDX)


def cifar10(root: str | Path) -> Splits:
    """50,000 + 10,000 photographs of 32×32 in 10 classes.

    Source: https://www.cs.toronto.edu/~kriz/cifar.html
    """
    files = "data_batch_1 to data_batch_5, test_batch, batches.meta"
    return from_torchvision(root, "CIFAR10", place="cifar-10-batches-py", files=files)


def cifar100(root: str | Path) -> Splits:
    """50,000 + 10,000 photographs of 32×32 in 100 classes.

    Source: https://www.cs.toronto.edu/~kriz/cifar.html
    """
    return from_torchvision(root, "CIFAR100", place="cifar-100-python", files="train, test, meta")


def synthetic(
    root: object = None,
    n: int = 2000,
    shape: Sequence[int] = (1, 8, 8),
    num_classes: int = 10,
    noise: float = 64.0,
    seed: int = 0,
) -> Splits:
    """n training and n/5 test images: a random template per class plus Gaussian noise.

    `noise` is its standard deviation in grey levels, of 255.
    """
    generator = torch.Generator().manual_seed(seed)
    templates = 255 * torch.rand(num_classes, *shape, generator=generator)
    total = n + max(1, n // 5)
    targets = torch.arange(total)[torch.randperm(total, generator=generator)] % num_classes
    images = templates[targets] + noise * torch.randn(total, *shape, generator=generator)
    whole = images.round().clamp(0, 255).to(torch.uint8)
    names = [str(label) for label in range(num_classes)]
    return Splits(Arrays(whole[:n], targets[:n]), Arrays(whole[n:], targets[n:]), names)
