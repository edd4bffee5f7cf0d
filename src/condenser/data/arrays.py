"""Arrays of your own: pixels, spectrograms, sensor readings, with labels of any kind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NoReturn

import numpy as np
import torch
from torch import Tensor

from condenser.data.labels import encoded
from condenser.data.samples import Arrays, Splits, splits_of
from condenser.data.tree import PARTS, WHOLE
from condenser.errors import ConfigError, DamagedError, UnknownError, shown
from condenser.files import reading

Layout = Literal["NF", "NHW", "NCHW", "NHWC", "NCT", "NTC"]
AXES = {"NF": 2, "NHW": 3, "NCT": 3, "NTC": 3, "NCHW": 4, "NHWC": 4}
IMAGES, LABELS = ("images", "x", "data", "features"), ("labels", "y", "targets", "label")
CHANNELS = (1, 3, 4)


def from_arrays(
    images: Any,
    labels: Any,
    *,
    split: Sequence[str] | np.ndarray | None = None,
    classes: Sequence[str] | None = None,
    layout: Layout | None = None,
    test_fraction: float = 0.2,
) -> Splits:
    """A data set of arrays, tensors or lists.

    Args:
        images: N samples: (N,H,W), (N,C,H,W), (N,H,W,C), or (N,F) of features, which become
            (N,1,1,F). Whole numbers of 0…255 are pixels; others are float32, with mean and std on
            their own scale.
        labels: N of text or whole numbers; or (N, labels) of 0 and 1, a multilabel task.
        split: N of train, val and test; None: ``test_fraction`` is held out, stratified.
        classes: names, which whole-numbered labels index; None: the sorted labels.
        layout: what the axes are, where the shape does not tell: C channels, T time, F features.
            Series (N,C,T) become (N,C,1,T). None: (N,H,W), or the side of 1, 3 or 4 is channels.

    Raises:
        ConfigError: lengths or shapes differ, NaN or infinite values, labels that are missing or of
            mixed types, an unknown split.
    """
    pixels = as_images(images, layout)
    found = encoded(labels, classes)
    same_length(pixels, found.targets)
    whole = Arrays(pixels, found.targets)
    if split is None:
        return splits_of({WHOLE: whole}, found.classes, found.task, test_fraction=test_fraction)
    places = split_places(split, len(pixels))
    parts = {part: whole.select(index) for part, index in places.items()}
    return splits_of(parts, found.classes, found.task, test_fraction=test_fraction)


def arrays(
    root: str | Path | None,
    layout: Layout | None = None,
    classes: Sequence[str] | None = None,
    test_fraction: float = 0.2,
) -> Splits:
    """``from_arrays`` of a .npz file, or of a folder of .npy files.

    Its arrays are ``images`` and ``labels`` (or x, y), with ``split`` and ``classes`` or without;
    or by parts: ``train_images``, ``train_labels``, ``val_images``, … (or x_train, y_train, …).

    Raises:
        ConfigError: no such file, no arrays of these names, or as ``from_arrays``.
        DamagedError: a file that cannot be read, or holds Python objects.
    """
    held = loaded(root)
    names = classes if classes is not None else held.get("classes")
    listed = None if names is None else [str(name) for name in names]
    pairs = {part: pair for part in PARTS if (pair := pair_of(held, part))}
    if not pairs:
        images, labels = (first(held, words) for words in (IMAGES, LABELS))
        if images is None or labels is None:
            allowed = "arrays images and labels (or x and y), or train_images and train_labels"
            raise ConfigError("data.root", root, allowed, f"it has {', '.join(held) or 'none'}")
        split = held.get("split")
        own: dict[str, Any] = {"layout": layout, "test_fraction": test_fraction}
        return from_arrays(images, labels, split=split, classes=listed, **own)
    split = np.repeat(list(pairs), [len(labels) for _, labels in pairs.values()])
    images, labels = (joined(root, [pair[place] for pair in pairs.values()]) for place in (0, 1))
    return from_arrays(
        images, labels, split=split, classes=listed, layout=layout, test_fraction=test_fraction
    )


def as_images(images: Any, layout: Layout | None = None) -> Tensor:
    """uint8 or float32 (N,C,H,W)."""
    found = stacked(images)
    if found.dtype.kind not in "buif":
        refuse("images", str(found.dtype), "numbers")
    if layout is not None and found.ndim != AXES[layout]:
        refuse("layout", layout, f"a layout of {found.ndim} axes: images are {found.shape}")
    named: str | None = layout or axes_of(found)
    if named is None or not found.size:
        allowed = "(N,F), (N,H,W), (N,C,H,W) or (N,H,W,C), none of them 0"
        refuse("images", found.shape, allowed)
    tensor = torch.from_numpy(np.ascontiguousarray(as_numbers(found)))
    n = len(tensor)
    if named == "NF":
        return tensor.view(n, 1, 1, -1)
    if named == "NHW":
        return tensor.unsqueeze(1)
    if named in ("NCT", "NTC"):
        return (tensor if named == "NCT" else tensor.transpose(1, 2)).unsqueeze(2).contiguous()
    return tensor if named == "NCHW" else tensor.permute(0, 3, 1, 2).contiguous()


def axes_of(found: np.ndarray) -> str | None:
    """What the axes are, from the shape."""
    if found.ndim != 4:
        return {2: "NF", 3: "NHW"}.get(found.ndim)
    last = found.shape[3] in CHANNELS and found.shape[1] not in CHANNELS
    return "NHWC" if last else "NCHW"


def stacked(images: Any) -> np.ndarray:
    """One array; ConfigError where a list holds several shapes."""
    if isinstance(images, Tensor):
        return images.detach().cpu().numpy()
    if isinstance(images, np.ndarray) and images.dtype != object:
        return images
    rows = [np.asarray(row) for row in images]
    if not rows:
        refuse("images", "[]", "one image or more")
    odd = next((place for place, row in enumerate(rows) if row.shape != rows[0].shape), None)
    if odd is not None:
        differ = f"shapes differ: {rows[0].shape} in row 0, {rows[odd].shape} in row {odd}"
        raise ConfigError("images", f"{len(rows)} arrays", "of one shape", differ)
    return np.stack(rows)


def as_numbers(found: np.ndarray) -> np.ndarray:
    """uint8 where all are whole numbers of 0…255, else finite float32."""
    if found.dtype == np.uint8:
        return found
    if found.dtype.kind in "ui" and found.min() >= 0 and found.max() <= 255:
        return found.astype(np.uint8)
    with np.errstate(over="ignore"):
        made = found.astype(np.float32)
    bad = np.flatnonzero(~np.isfinite(made).reshape(len(made), -1).all(axis=1))
    if len(bad):
        rows = f"{len(bad):,} of {len(made):,} samples have NaN or infinite values"
        where = f"the first is row {bad[0]}"
        raise ConfigError("images", rows, "finite numbers", where)
    return made


def same_length(images: Tensor, targets: Tensor) -> None:
    if len(images) != len(targets):
        counts = f"{len(images):,} images and {len(targets):,} labels"
        raise ConfigError("labels", counts, "as many labels as images")


def split_places(split: Any, count: int) -> dict[str, Tensor]:
    """Part → indices of its samples."""
    words = [str(word) for word in split]
    if len(words) != count:
        refuse("split", f"{len(words):,} names", f"one for each of the {count:,} samples")
    known = {alias: part for part, aliases in PARTS.items() for alias in aliases}
    for word in words:
        if word.strip().lower() not in known:
            raise UnknownError("split", word, known)
    parts = np.array([known[word.strip().lower()] for word in words])
    return {
        part: torch.from_numpy(np.flatnonzero(parts == part))
        for part in PARTS
        if (parts == part).any()
    }


def loaded(root: str | Path | None) -> dict[str, np.ndarray]:
    """The arrays of a .npz file, or of the .npy files of a folder, by name."""
    path = Path(root or "").expanduser()
    if root is None or not path.exists():
        raise ConfigError("data.root", root, "a .npz file or a folder of .npy files", "none there")
    files = sorted(path.glob("*.npy")) if path.is_dir() else [path]
    if path.is_file() and path.suffix != ".npz":
        raise ConfigError("data.root", root, "a .npz file or a folder of .npy files")
    held: dict[str, np.ndarray] = {}
    for file in files:
        try:
            with reading(file) as handle:
                found = np.load(handle, allow_pickle=False)
                of_file = dict(found) if file.suffix == ".npz" else {file.stem: found}
        except Exception as error:  # of damaged bytes numpy raises what it likes
            why = "Python objects" if "pickle" in str(error).lower() else "no arrays of numpy"
            raise DamagedError(f"{shown(file)}: {why}; save plain arrays of numbers or text") from (
                error
            )
        held |= of_file
    return held


def pair_of(held: Mapping[str, np.ndarray], part: str) -> tuple[np.ndarray, np.ndarray] | None:
    """The images and labels of a part; None where it has none."""
    found = []
    for words in (IMAGES, LABELS):
        aliases = [name for alias in PARTS[part] for name in spelt(alias, words)]
        found.append(first(held, aliases))
    images, labels = found
    if images is None or labels is None:
        return None
    same_length(torch.empty(len(images)), torch.empty(len(labels)))
    return images, labels


def spelt(part: str, words: Sequence[str]) -> list[str]:
    return [name for word in words for name in (f"{part}_{word}", f"{word}_{part}")]


def first(held: Mapping[str, np.ndarray], names: Sequence[str]) -> np.ndarray | None:
    lower = {name.lower(): value for name, value in held.items()}
    return next((lower[name] for name in names if name in lower), None)


def joined(root: object, parts: Sequence[np.ndarray]) -> np.ndarray:
    """The parts one after the other; ConfigError where a sample's shape differs."""
    shapes = {part.shape[1:] for part in parts}
    if len(shapes) > 1:
        differ = " and ".join(map(str, sorted(shapes)))
        raise ConfigError("data.root", root, "parts whose samples have one shape", f"have {differ}")
    return np.concatenate(parts)


def refuse(word: str, value: object, allowed: str) -> NoReturn:
    raise ConfigError(word, value, allowed)
