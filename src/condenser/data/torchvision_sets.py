"""torchvision's data sets, read from a root folder or downloaded into it."""

from __future__ import annotations

import io
import shutil
import socket
import tarfile
from collections.abc import Iterator, Mapping, Sized
from contextlib import contextmanager, redirect_stdout
from http.client import HTTPException
from pathlib import Path
from pickle import Unpickler, UnpicklingError
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from condenser.data.samples import Arrays, Splits
from condenser.errors import ConfigError, DamagedError

# what torchvision raises for a set that is missing, corrupt or cannot be downloaded
_BROKEN = (
    RuntimeError,
    OSError,
    ValueError,
    EOFError,
    UnpicklingError,
    AssertionError,
    LookupError,
    TypeError,
    HTTPException,
    tarfile.TarError,
)


def folder(root: str | Path | None) -> Path:
    """The root as a path; it need not exist.

    Raises:
        ConfigError: no root is given, or it or one of its parents is a file.
    """
    if root is None:
        raise ConfigError("data.root", "null", "a folder")
    path = Path(root).expanduser()
    for part in (path, *path.parents):
        if part.exists() and not part.is_dir():
            raise ConfigError("data.root", root, "a folder", f"{part} is a file")
    return path


def from_torchvision(
    root: str | Path | None,
    dataset: str,
    place: str = "",
    files: str = "its files",
    train: Mapping[str, Any] = {"train": True},
    test: Mapping[str, Any] = {"train": False},
) -> Splits:
    """Any torchvision data set that holds its images in one array; downloaded if missing.

    Args:
        dataset: the class, for example "MNIST".
        place, files: where under `root` it keeps which files, for the error message.
        train, test: the arguments that pick the part, for example {"split": "train"} for SVHN.

    Raises:
        ConfigError: the root is a file; the set is absent or damaged and could not be downloaded.
    """
    import torchvision

    path = folder(root)
    build = getattr(torchvision.datasets, dataset)
    try:
        with _arrays_only():
            parts = build(path, **train), build(path, **test)
    except _BROKEN:
        if not path.parent.is_dir():
            there = next(part for part in path.parents if part.is_dir())
            raise ConfigError("data.root", root, "a folder", f"{there} has no such one") from None
        try:
            with _download(path, dataset), _arrays_only():
                parts = build(path, **train, download=True), build(path, **test, download=True)
        except _BROKEN as error:
            reason = str(error).strip().splitlines()[-1:] or [type(error).__name__]
            raise ConfigError(
                "data.root",
                root,
                f"a folder that holds {dataset}",
                f"it is not there (or damaged) and could not be downloaded ({reason[0]}): "
                f"put {files} into {path / place}",
            ) from None
    classes = getattr(parts[0], "classes", None)
    loaded = [_arrays(part, path / place, classes) for part in parts]
    names = classes or [str(label) for label in range(int(loaded[0].targets.max()) + 1)]
    return Splits(loaded[0], loaded[1], list(names))


def _arrays(part: Any, place: Path, classes: Sized | None) -> Arrays:
    """DamagedError unless there is one valid label per image."""
    images: Tensor = torch.as_tensor(part.data)
    if images.ndim == 3:
        images = images.unsqueeze(1)
    elif images.shape[-1] in (1, 3):
        images = images.permute(0, 3, 1, 2)
    labels = torch.as_tensor(part.targets if hasattr(part, "targets") else part.labels).long()
    if len(labels) != len(images):
        raise DamagedError(f"{place} is damaged: {len(images)} images have {len(labels)} labels")
    if len(labels) and classes and not 0 <= labels.min() <= labels.max() < len(classes):
        least, most = int(labels.min()), int(labels.max())
        raise DamagedError(
            f"{place} is damaged: labels from {least} to {most} of {len(classes)} classes"
        )
    return Arrays(images.contiguous(), labels)


class _Arrays(Unpickler):
    """Unpickler for numbers, strings and numpy arrays only; anything else is rejected uncalled."""

    def find_class(self, module: str, name: str) -> Any:
        of_numpy = module in ("numpy", "numpy.core.multiarray", "numpy._core.multiarray")
        if of_numpy and name in ("_reconstruct", "ndarray", "dtype"):
            return super().find_class(module, name)
        raise UnpicklingError(f"{module}.{name} is no part of a set of images")


@contextmanager
def _arrays_only() -> Iterator[None]:
    """Make torchvision read CIFAR's pickles as data only; none of them can run code."""
    from torchvision.datasets import cifar

    before = cifar.pickle
    cifar.pickle = SimpleNamespace(load=lambda file, **how: _Arrays(file, **how).load())  # type: ignore[assignment]
    try:
        yield
    finally:
        cifar.pickle = before


@contextmanager
def _download(path: Path, dataset: str, patience: float = 20.0) -> Iterator[None]:
    """Download once across processes, quietly, with a timeout."""
    from filelock import FileLock

    before, fresh = socket.getdefaulttimeout(), not path.exists()
    path.mkdir(exist_ok=True)
    lock = path / f".{dataset}.lock"
    try:
        lock.touch()  # in a folder that is not writable, as in /proc, the lock would block for ever
        with FileLock(lock), redirect_stdout(io.StringIO()):
            socket.setdefaulttimeout(patience)
            yield
    except BaseException:
        if fresh:  # a mistyped root leaves nothing behind
            shutil.rmtree(path, ignore_errors=True)
        raise
    finally:
        socket.setdefaulttimeout(before)
