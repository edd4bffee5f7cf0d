"""Any torch Dataset, and folders of Hugging Face's datasets: read once, kept in memory."""

from __future__ import annotations

import inspect
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import numpy as np
from torch import Tensor

from condenser.data.arrays import Layout, from_arrays
from condenser.data.decode import decoded
from condenser.data.extras import EXTRAS
from condenser.data.preparation import middle
from condenser.data.samples import Arrays, Splits
from condenser.data.tree import PARTS
from condenser.errors import CondenserError, ConfigError, DamagedError, UnknownError, shown

MOST = (
    1 << 33
)  # bytes of images; a larger set belongs into files, which are read as they are needed


def from_dataset(
    root: str | Path | None,
    dataset: Callable[..., Any] | None = None,
    parts: Mapping[str, Mapping[str, Any]] | None = None,
    classes: Sequence[str] | None = None,
    layout: Layout | None = None,
    test_fraction: float = 0.2,
) -> Splits:
    """Any torch Dataset of (image, label) pairs, or of dicts with ``image`` and ``label``.

    Each sample is read once, so a Dataset should not augment: ``data.augment`` does. Images are
    PIL images, arrays or tensors, as ``from_arrays`` takes them.

    Args:
        dataset: the class or function; called with ``root`` if it has such a parameter.
        parts: what else it is called with for train, val and test; None: one call, of which
            ``test_fraction`` is held out.

    Raises:
        CondenserError: it cannot be built, or a sample cannot be read; says which.
    """
    if dataset is None:
        allowed = "{_target_: mypackage.Set, _partial_: true}, a torch Dataset's class or function"
        raise ConfigError("data.source.dataset", None, allowed)
    for part in parts or {}:
        if part not in PARTS:
            raise UnknownError("data.source.parts", part, PARTS)
    images: list[Any] = []
    labels: list[Any] = []
    split: list[str] = []
    names = classes
    for part, arguments in (parts or {"train": {}}).items():
        made = built(dataset, root, arguments)
        names = names or getattr(made, "classes", None)
        for image, label in samples_of(made, part):
            images.append(image)
            labels.append(label)
        split += [part] * (len(images) - len(split))
        if sum(image.nbytes for image in images) > MOST:
            raise ConfigError("data.source.dataset", part, f"at most {MOST >> 30} GiB of images")
    return from_arrays(
        images,
        labels,
        split=split if parts else None,
        classes=None if names is None else [str(name) for name in names],
        layout=layout,
        test_fraction=test_fraction,
    )


def built(dataset: Callable[..., Any], root: Any, arguments: Mapping[str, Any]) -> Any:
    try:
        takes_root = "root" in inspect.signature(dataset).parameters
        return dataset(**({"root": root} if takes_root else {}), **arguments)
    except CondenserError:
        raise
    except Exception as error:
        why = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        raise CondenserError(f"data.source.dataset: cannot be built: {why}") from error


def samples_of(made: Any, part: str) -> Iterator[tuple[np.ndarray, Any]]:
    """Every (image, label), the image as an array."""
    rows = range(len(made)) if hasattr(made, "__len__") else None
    items = (made[row] for row in rows) if rows is not None else iter(made)
    row = -1
    try:
        for row, item in enumerate(items):  # noqa: B007
            image, label = (item["image"], item["label"]) if isinstance(item, Mapping) else item[:2]
            yield as_array(image), label.item() if isinstance(label, Tensor) else label
    except CondenserError:
        raise
    except Exception as error:
        why = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        which = f"sample {row + 1} of {part} cannot be read as (image, label)"
        raise CondenserError(f"data.source.dataset: {which}: {why}") from error


def as_array(image: Any) -> np.ndarray:
    if isinstance(image, Tensor):
        return image.detach().cpu().numpy()
    return np.asarray(image)


def huggingface(
    root: str | Path | None,
    size: int | None = None,
    resize: int | None = None,
    mode: Literal["RGB", "L"] = "RGB",
    image: str = "image",
    label: str = "label",
    test_fraction: float = 0.2,
) -> Splits:
    """A folder that Hugging Face's datasets wrote: ``dataset.save_to_disk(root)``.

    Its splits are train, and validation or test or both. Images are decoded once; with ``size``
    they are resized to ``resize`` (None: ``size``) on the shorter side and cut to the middle.

    Args:
        image, label: the columns.

    Raises:
        ConfigError: no such folder, columns or splits; the datasets package is not installed.
    """
    if find_spec("datasets") is None:
        hint = f"for Hugging Face's datasets: pip install {EXTRAS['huggingface']['datasets']}"
        raise ConfigError("data.source", "huggingface", "another with what is installed", hint)
    import datasets

    try:
        found: Any = datasets.load_from_disk(str(Path(root or "").expanduser()))
    except Exception as error:
        allowed = "a folder that datasets' save_to_disk wrote"
        raise ConfigError("data.root", root, allowed, " ".join(str(error).split())[:200]) from error
    parts = dict(found) if isinstance(found, datasets.DatasetDict) else {"train": found}
    images: list[np.ndarray] = []
    labels: list[Any] = []
    split: list[str] = []
    for part, rows in parts.items():
        for column in (image, label):
            if column not in rows.column_names:
                raise UnknownError("data.source.columns", column, rows.column_names)
        images += pictures(rows, image, size, resize or size, mode)
        labels += rows[label]
        split += [part] * len(rows)
    names = getattr(next(iter(parts.values())).features[label], "names", None)
    several = split if len(parts) > 1 else None
    made = from_arrays(images, labels, split=several, classes=names, test_fraction=test_fraction)
    return made if size is None else told(made, {"mode": mode, "resize": resize or size})


def told(made: Splits, how: Mapping[str, Any]) -> Splits:
    """The same arrays, which know how they were prepared."""
    kept: dict[str, Any] = {
        word: Arrays(part.images, part.targets, how)
        for word in ("train", "val", "test")
        if isinstance(part := getattr(made, word), Arrays)
    }
    return made._replace(**kept)


def pictures(
    rows: Any, column: str, size: int | None, resize: int | None, mode: str
) -> Iterator[np.ndarray]:
    """The images of a column, decoded by us: Pillow's rarer formats may start other programs."""
    import datasets

    encoded = isinstance(rows.features[column], datasets.Image)
    held = rows.cast_column(column, datasets.Image(decode=False)) if encoded else rows
    for row, item in enumerate(held[column]):
        if not encoded:
            yield np.asarray(item)
            continue
        content = item["bytes"] or Path(item["path"]).read_bytes()
        try:
            image = decoded(io.BytesIO(content), mode)
        except DamagedError as error:
            raise DamagedError(f"{shown(column)} of row {row}: {error}") from None
        if size is not None and resize is not None:
            image = middle(image, resize, size)
        yield np.asarray(image)
