"""Data handed over in Python: arrays, a torch Dataset, or the name of a config in conf/data."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from condenser.data.arrays import stacked
from condenser.data.foreign import samples_of
from condenser.errors import ConfigError
from condenser.files import drafts


@dataclass(frozen=True)
class Given:
    """A data set that a run can be made with.

    Attributes:
        option: its file in conf/data.
        arrays: what ``condenser.data.arrays`` reads; none for a set that lies on disk.
        settings: that differ from those of the file.
    """

    option: str
    arrays: Mapping[str, np.ndarray] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)

    def section(self, folder: Path) -> dict[str, Any]:
        """Its settings in the config; arrays are kept in ``folder``, named by their contents."""
        if not self.arrays:
            return dict(self.settings)
        file = folder / f"{digest(self.arrays)}.npz"
        if not file.exists():
            with drafts(file) as (draft,), draft.open("wb") as out:
                np.savez(out, **self.arrays)  # type: ignore[arg-type]
        return {"root": str(file.absolute()), **self.settings}


def given(
    images: Any,
    labels: Any = None,
    *,
    test: tuple[Any, Any] | None = None,
    val: tuple[Any, Any] | None = None,
    classes: Sequence[str] | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    **settings: Any,
) -> Given:
    """Describe a data set; also called as ``condenser.data(...)``.

    Args:
        images: (N,H,W), (N,C,H,W), (N,H,W,C) or (N,F), as ``from_arrays`` takes them; a torch
            Dataset of (image, label); or the name of a file in conf/data.
        labels: N class numbers or names; (N, labels) of 0 and 1. None for a Dataset or a name.
        test, val: images and labels of their own; None: a fifth and a tenth are held out.
        mean, std: per channel, of the normalisation that the network is trained with, pixels being
            on 0…1. None: of the training part.
        settings: others of the file in conf/data, such as ``root`` or ``limit``.

    Raises:
        ConfigError: images without labels, of several shapes, or a Dataset without a length.

    >>> given([[0.0, 1.0], [1.0, 0.0]], ["no", "yes"]).arrays["labels"].tolist()
    ['no', 'yes']
    """
    own = {"mean": mean, "std": std, **settings}
    own = {key: listed(value) for key, value in own.items() if value is not None}
    if isinstance(images, str):
        return Given(images, {}, own)
    parts = {"train": pair(images, labels)}
    parts |= {name: pair(*part) for name, part in {"val": val, "test": test}.items() if part}
    arrays = {
        f"{name}_{what}": array
        for name, part in parts.items()
        for what, array in zip(("images", "labels"), part, strict=True)
    }
    if len(parts) == 1:
        arrays = {key.removeprefix("train_"): array for key, array in arrays.items()}
    if classes is not None:
        arrays["classes"] = np.asarray(classes)
    return Given("arrays", arrays, own)


def pair(images: Any, labels: Any = None) -> tuple[np.ndarray, np.ndarray]:
    """Images and labels as arrays, also those of a Dataset."""
    if labels is not None:
        return stacked(images), stacked(labels)
    if not (hasattr(images, "__getitem__") and hasattr(images, "__len__")) or not len(images):
        raise ConfigError("labels", None, "given, or images a torch Dataset of (image, label)")
    found = list(samples_of(images, "the Dataset"))
    return stacked([image for image, _ in found]), np.asarray([label for _, label in found])


def listed(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def digest(arrays: Mapping[str, np.ndarray]) -> str:
    """16 hex digits of names, types, shapes and contents."""
    found = hashlib.sha256()
    for name, array in sorted(arrays.items()):
        found.update(f"{name} {array.dtype} {array.shape};".encode())
        found.update(np.ascontiguousarray(array).tobytes())
    return found.hexdigest()[:16]
