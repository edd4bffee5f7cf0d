"""Tiny-ImageNet as it is published: folders to train on, a table for its validation part."""

from __future__ import annotations

from pathlib import Path

from condenser.data.folder import Transform, from_files, missing
from condenser.data.samples import Splits
from condenser.data.torchvision_sets import folder
from condenser.data.tree import Classes, Tree
from condenser.errors import ConfigError, DamagedError, shown
from condenser.files import read_bytes


def tiny_imagenet(
    root: str | Path | None,
    size: int = 64,
    resize: int = 64,
    random: Transform | None = None,
    num_workers: int = 0,
    cache_gib: float = 4.0,
) -> Splits:
    """Tiny-ImageNet: 100,000 + 10,000 photographs of 64×64 in 200 classes, as it is published.

    Its validation part, whose labels are in val/val_annotations.txt, is the test set.
    Source: http://cs231n.stanford.edu/tiny-imagenet-200.zip

    Raises:
        ConfigError: train/ or the annotations are not there.
        DamagedError: an annotation without a file or a class, or files that are no images.
    """
    path = folder(root)
    notes = path / "val/val_annotations.txt"
    if not notes.is_file() or not (path / "train").is_dir():
        raise ConfigError("data.root", root, "tiny-imagenet-200, with train/ and val/")
    train = Tree(path, root).classes(path / "train")
    val: Classes = {name: [] for name in train}
    for row, line in enumerate(read_bytes(notes).decode("utf-8", "replace").splitlines()):
        name, kind, *_ = [*line.split("\t"), "", ""]
        if kind not in val:
            raise DamagedError(f"{shown(notes)}: row {row}: {shown(kind)} is no class of train")
        val[kind].append(f"val/images/{name}")
    missing(root, path, [file for files in val.values() for file in files])
    return from_files(
        path,
        root,
        {"train": train, "test": val},
        size=size,
        resize=resize,
        mode="RGB",
        random=random,
        num_workers=num_workers,
        test_fraction=0.2,
        cache_gib=cache_gib,
    )
