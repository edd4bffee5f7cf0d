"""Image files in one folder per class, decoded by worker processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from condenser.data.contents import Picture, examine
from condenser.data.counter_rng import key
from condenser.data.decode import LARGEST, decode
from condenser.data.image_cache import Pixels, pixels_of
from condenser.data.samples import Splits, splits_of
from condenser.data.torchvision_sets import folder
from condenser.data.tree import WHOLE, Classes, Tree, listed
from condenser.errors import ConfigError, DamagedError, shown
from condenser.files import sha256

if TYPE_CHECKING:
    from PIL.Image import Image

Transform = Callable[[Any], Any]  # a PIL image to a PIL image or a uint8 tensor (C,H,W)
_TRANSFORM_STREAM = -1  # augmentations of batches have the streams 0, 1, …


@dataclass(frozen=True, eq=False)
class Files:
    """A data set of image files: paths relative to `root`, targets int64 (N,).

    `contents` are the files' sha256, if known: two sets are the same if their files' bytes,
    targets, order and transforms are, regardless of location and names.

    `pixels` are its decoded images, where they are kept. `resize` is the shorter side before the
    middle is cut out, where `fixed` does that.

    `random` is applied to training views, `fixed` for evaluation; both must give all images one
    size. `random` draws from torch's generator, which is seeded by
    (seed, index, view).
    """

    root: Path
    paths: tuple[str, ...]
    targets: Tensor
    random: Transform
    fixed: Transform
    mode: str = "RGB"
    num_workers: int = 0
    contents: tuple[str, ...] = ()
    resize: int | None = None
    pixels: Pixels | None = None

    @property
    def preparation(self) -> dict[str, Any]:
        """What becomes of a file before it is normalised, for whoever feeds a deployed network."""
        return {"mode": self.mode, "resize": self.resize}

    @property
    def shape(self) -> tuple[int, int, int]:
        c, h, w = self.image(0, self.fixed).shape
        return c, h, w

    def select(self, index: Tensor) -> Files:
        paths = tuple(self.paths[position] for position in index.tolist())
        contents = tuple(self.contents[position] for position in index.tolist() if self.contents)
        return replace(self, paths=paths, targets=self.targets[index], contents=contents)

    def to(self, device: torch.device) -> Files:
        return self

    def image(self, position: int, transform: Transform) -> Tensor:
        """One decoded image, uint8 (C,H,W).

        Raises:
            DamagedError: the file cannot be decoded.
        """
        from torchvision.transforms.v2.functional import pil_to_tensor

        image = transform(self.decoded(position))
        return image if isinstance(image, Tensor) else pil_to_tensor(image)

    def decoded(self, position: int) -> Image:
        """One image as a PIL image, from the cache if it is there."""
        if self.pixels is not None and (kept := self.pixels.image(self.contents[position])):
            return kept
        path = self.root / self.paths[position]
        try:
            return decode(path, self.mode)
        except DamagedError as error:
            raise DamagedError(f"{shown(path)}: {error}") from None

    def read(self, index: Tensor) -> Tensor:
        return next(self.stream([index], 0, None))

    def stream(self, chunks: Sequence[Tensor], seed: int, view: int | None) -> Iterator[Tensor]:
        loader = DataLoader(
            _View(self, seed, view),
            batch_sampler=[chunk.tolist() for chunk in chunks],
            num_workers=min(self.num_workers, len(chunks)) if len(chunks) > 1 else 0,
            collate_fn=torch.stack,
            generator=torch.Generator(),  # else it would advance the global generator
        )
        return iter(loader)

    def digest(self, update: Callable[[bytes | memoryview], None]) -> None:
        decoder = metadata.version("pillow")
        update(repr((self.random, self.fixed, self.mode, decoder)).encode())
        contents = self.contents or (sha256(self.root / path) for path in self.paths)
        for content, target in zip(contents, self.targets.tolist(), strict=True):
            update(f"{content} {target}\n".encode())


@dataclass(frozen=True, eq=False)
class _View(Dataset[Tensor]):
    """One view of every image, identical in whichever worker process reads it."""

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
    mode: Literal["RGB", "L"] = "RGB",
    random: Transform | None = None,
    num_workers: int = 0,
    test_fraction: float = 0.2,
    cache_gib: float = 4.0,
) -> Splits:
    """root/train/CLASS/*, and root/val or root/test or both alike; or root/CLASS/*.

    `valid` and `validation` are aliases of `val`. With both, `val` is used for selection and `test`
    for evaluation. With one of them, it is the test set, and validation is split from train. With
    neither, a fixed `test_fraction` becomes the test set.

    Every file is decoded before anything is trained; decoded images are kept in the user's cache
    folder, memory-mapped, where they take at most `cache_gib`. Images are resized to `resize` on
    the shorter side and cut to the middle `size`×`size`. For training `random` is used instead, by
    default a random resized crop and a horizontal flip.
    Source: torchvision.datasets.ImageFolder, https://docs.pytorch.org/vision/stable/datasets.html

    Raises:
        ConfigError: the folder is not one of these, or another one was probably meant.
        DamagedError: some files are no images that can be used; it names them.
    """
    if mode not in ("RGB", "L"):
        raise ConfigError("data.source.mode", mode, "RGB or L")
    path = folder(root)
    return from_files(
        path,
        root,
        Tree(path, root).parts(),
        size=size,
        resize=resize,
        mode=mode,
        random=random,
        num_workers=num_workers,
        test_fraction=test_fraction,
        cache_gib=cache_gib,
    )


def from_files(
    path: Path,
    root: object,
    found: Mapping[str, Classes],
    *,
    size: int,
    resize: int,
    mode: Literal["RGB", "L"],
    random: Transform | None,
    num_workers: int,
    test_fraction: float,
    cache_gib: float,
) -> Splits:
    """`Splits` of the files of each part and class, relative to ``path``; as ``imagefolder``.

    ``root`` is what the user called it.
    """
    from torchvision.transforms import v2

    every = [file for part in found.values() for files in part.values() for file in files]
    pictures, bad = examine(path, every, num_workers)
    refuse_bad(root, bad | too_long(pictures, resize))
    fixed = v2.Compose([v2.Resize(resize, antialias=True), v2.CenterCrop(size)])
    default = v2.Compose([v2.RandomResizedCrop(size, antialias=True), v2.RandomHorizontalFlip()])
    settings: dict[str, Any] = {
        "random": random or default,
        "fixed": fixed,
        "mode": mode,
        "num_workers": num_workers,
        "resize": resize,
        "pixels": pixels_of(path, pictures, mode, num_workers, int(cache_gib * 2**30)),
    }
    parts = {name: files_of(path, part, pictures, settings) for name, part in found.items()}
    classes = list(next(iter(found.values())))
    notes = tuple(repeated(found, pictures))
    return splits_of(parts, classes, notes=notes, test_fraction=test_fraction)


def files_of(
    root: Path, part: Classes, pictures: Mapping[str, Picture], settings: Mapping[str, Any]
) -> Files:
    paths = tuple(path for files in part.values() for path in files)
    targets = torch.tensor([number for number, files in enumerate(part.values()) for _ in files])
    contents = tuple(pictures[path].sha256 for path in paths)
    return Files(root, paths, targets, contents=contents, **settings)


def too_long(pictures: Mapping[str, Picture], resize: int) -> dict[str, str]:
    """Images so elongated that `resize` of the shorter side would make them too large."""
    return {
        path: f"{one.width}×{one.height} pixels, too long for data.source.resize={resize}"
        for path, one in pictures.items()
        if max(one[1:]) * resize * resize > LARGEST * min(one[1:])
    }


def refuse_bad(root: object, bad: Mapping[str, str]) -> None:
    """DamagedError that lists the files that cannot be used, and why."""
    if bad:
        files = [f"{path} ({why})" for path, why in sorted(bad.items())]
        what = "1 file is no image" if len(bad) == 1 else f"{len(bad):,} files are no images"
        raise DamagedError(f"data.root={shown(root)}: {what} that can be used: {listed(files)}")


def missing(root: object, folder: Path, paths: Sequence[str]) -> None:
    """DamagedError that lists the files of a table that are not there."""
    gone = [path for path in dict.fromkeys(paths) if not (folder / path).is_file()]
    if gone:
        what = "1 file is" if len(gone) == 1 else f"{len(gone):,} files are"
        raise DamagedError(f"data.root={shown(root)}: {what} not in {folder}: {listed(gone)}")


def repeated(found: Mapping[str, Classes], pictures: Mapping[str, Picture]) -> Iterator[str]:
    """A warning for duplicates across splits or classes; for any if splits are yet to be made."""
    places: dict[str, list[tuple[str, str, str]]] = {}
    for part, classes in found.items():
        for name, files in classes.items():
            for path in files:
                places.setdefault(pictures[path].sha256, []).append((part, name, path))
    kinds: dict[str, list[str]] = {}
    for same in places.values():
        parts, names = ({place[field] for place in same} for field in (0, 1))
        if len(parts) > 1:
            kind = f"in {' and '.join(part for part in found if part in parts)}"
        elif len(names) > 1:
            kind = "in several classes"
        elif len(same) > 1 and parts == {WHOLE}:
            kind = "there more than once, and may be in train and test"
        else:
            continue
        kinds.setdefault(kind, []).append(" = ".join(path for *_, path in same[:3]))
    for kind, same_files in kinds.items():
        count = "1 image is" if len(same_files) == 1 else f"{len(same_files):,} images are"
        yield f"{count} {kind}: {listed(same_files, 3)}"
