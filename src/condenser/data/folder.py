"""Image files in one folder a class, decoded by worker processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from condenser.data.noise import key
from condenser.data.remote import folder
from condenser.data.samples import Splits, split_test
from condenser.errors import ConfigError, DamagedError

Transform = Callable[[Any], Any]  # a PIL image to a PIL image or a uint8 tensor (C,H,W)
_TRANSFORM_STREAM = -1  # augmentations of batches have the streams 0, 1, …


@dataclass(frozen=True, eq=False)
class Files:
    """A set of image files: paths relative to `root`, targets int64 (N,).

    `random` is applied to a view of an image, `fixed` where nothing random may happen; both must
    give all images one size. `random` draws from torch's generator, which is seeded by
    (seed, index, view).
    """

    root: Path
    paths: tuple[str, ...]
    targets: Tensor
    random: Transform
    fixed: Transform
    mode: str = "RGB"
    num_workers: int = 0

    @property
    def shape(self) -> tuple[int, int, int]:
        c, h, w = self.image(0, self.fixed).shape
        return c, h, w

    def select(self, index: Tensor) -> Files:
        paths = tuple(self.paths[position] for position in index.tolist())
        return replace(self, paths=paths, targets=self.targets[index])

    def to(self, device: torch.device) -> Files:
        return self

    def image(self, position: int, transform: Transform) -> Tensor:
        """One decoded image, uint8 (C,H,W).

        Raises:
            DamagedError: the file cannot be decoded.
        """
        from PIL import Image
        from torchvision.transforms.v2.functional import pil_to_tensor

        path = self.root / self.paths[position]
        try:
            with Image.open(path) as opened:
                image = transform(opened.convert(self.mode))
        except OSError as error:
            raise DamagedError(f"{path}: {error}") from None
        return image if isinstance(image, Tensor) else pil_to_tensor(image)

    def read(self, index: Tensor) -> Tensor:
        return next(self.stream([index], 0, None))

    def stream(self, chunks: Sequence[Tensor], seed: int, view: int | None) -> Iterator[Tensor]:
        loader = DataLoader(
            _View(self, seed, view),
            batch_sampler=[chunk.tolist() for chunk in chunks],
            num_workers=min(self.num_workers, len(chunks)) if len(chunks) > 1 else 0,
            collate_fn=torch.stack,
            generator=torch.Generator(),  # else it draws from, and so moves, the global generator
        )
        return iter(loader)

    def digest(self, update: Callable[[bytes | memoryview], None]) -> None:
        update(repr((self.random, self.fixed, self.mode)).encode())
        for path, target in zip(self.paths, self.targets.tolist(), strict=True):
            update(f"{path}\0{(self.root / path).stat().st_size}\0{target}\n".encode())


@dataclass(frozen=True, eq=False)
class _View(Dataset[Tensor]):
    """One view of every image, whichever process reads it."""

    files: Files
    seed: int
    view: int | None

    def __getitem__(self, index: int) -> Tensor:
        if self.view is None:
            return self.files.image(index, self.files.fixed)
        with torch.random.fork_rng(devices=[]):
            # not torch.manual_seed: that would seed the GPUs too
            torch.default_generator.manual_seed(key(self.seed, index, self.view, _TRANSFORM_STREAM))
            return self.files.image(index, self.files.random)


def imagefolder(
    root: str | Path | None,
    size: int = 224,
    resize: int = 256,
    mode: str = "RGB",
    random: Transform | None = None,
    num_workers: int = 0,
) -> Splits:
    """root/train/CLASS/* with root/test/CLASS/* or root/val/CLASS/*; or root/CLASS/*.

    Without a test folder a fixed 20 % become the test part. Images are resized to `resize` on the
    shorter side and cut to the middle `size`×`size`. For training `random` is used instead, by
    default a random resized crop and a horizontal flip.
    Source: torchvision.datasets.ImageFolder, https://docs.pytorch.org/vision/stable/datasets.html

    Raises:
        ConfigError: no such folder, no images in it, or other classes in the test part than in
            the training part.
    """
    from torchvision.transforms import v2

    path = folder(root)
    fixed = v2.Compose([v2.Resize(resize, antialias=True), v2.CenterCrop(size)])
    default = v2.Compose([v2.RandomResizedCrop(size, antialias=True), v2.RandomHorizontalFlip()])
    settings: dict[str, Any] = {
        "random": random or default,
        "fixed": fixed,
        "mode": mode,
        "num_workers": num_workers,
    }
    if not (path / "train").is_dir():
        files, classes = _scan(path, path, settings)
        return split_test(files, classes)
    test = next((path / part for part in ("test", "val") if (path / part).is_dir()), None)
    files, classes = _scan(path, path / "train", settings)
    if test is None:
        return split_test(files, classes)
    held_out, others = _scan(path, test, settings)
    if others != classes:
        differ = ", ".join(sorted(set(classes) ^ set(others)))
        allowed = f"the same classes in train and {test.name}"
        raise ConfigError("data.root", root, allowed, f"they differ in {differ}")
    return Splits(files, held_out, classes)


def _scan(root: Path, part: Path, settings: dict[str, Any]) -> tuple[Files, list[str]]:
    from torchvision.datasets import ImageFolder

    try:
        found = ImageFolder(str(part))
    except FileNotFoundError as error:
        allowed = "a folder with a folder of images for each class"
        raise ConfigError("data.root", root, allowed, str(error)) from None
    paths = tuple(Path(path).relative_to(root).as_posix() for path, _ in found.samples)
    return Files(root, paths, torch.tensor(found.targets), **settings), found.classes
