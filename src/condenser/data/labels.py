"""Labels of any kind as targets: text, whole numbers, rows of 0 and 1."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from condenser.errors import ConfigError, UnknownError
from condenser.tasks import Binary, Multiclass, Multilabel

MISSING = ("", "nan", "none", "null")


class Labels(NamedTuple):
    """Targets int64 (N,) or float32 (N, labels), the names of the logits, the task's word."""

    targets: Tensor
    classes: list[str]
    task: str


def encoded(labels: Any, classes: Sequence[str] | None = None) -> Labels:
    """Targets of text, whole numbers, or (N, labels) of 0 and 1.

    Args:
        classes: names in the order of the logits; whole numbers index them. None: the distinct
            labels, sorted.

    Raises:
        ConfigError: a label that is missing, of another type than the others, or not in
            ``classes``.
    """
    found = plain(labels)
    if found.ndim == 2 and found.dtype.kind in "buif":
        return multilabel(found, classes)
    if found.ndim != 1 or not len(found):
        raise ConfigError("labels", found.shape, "(N,), or (N, labels) of 0 and 1")
    if found.dtype.kind == "f":
        found = whole_numbers(found)
    if found.dtype.kind == "U":
        return of_words(found, classes)
    if classes is None:
        values, targets = np.unique(found, return_inverse=True)
        several([str(value) for value in values])
        return Labels(torch.from_numpy(targets).long(), [str(v) for v in values], Multiclass.word)
    targets = found.astype(np.int64)
    if (off := (targets < 0) | (targets >= len(classes))).any():
        value = f"{targets[off.argmax()]} in row {off.argmax()}"
        raise ConfigError("labels", value, f"0 to {len(classes) - 1}: there are {len(classes)}")
    return Labels(torch.from_numpy(targets), list(classes), Multiclass.word)


def of_words(words: np.ndarray, classes: Sequence[str] | None) -> Labels:
    stripped = np.char.strip(words)
    empty = np.isin(np.char.lower(stripped), MISSING)
    if empty.any():
        raise ConfigError("labels", words[empty.argmax()], "a label", f"row {empty.argmax()}")
    names = sorted(set(stripped.tolist())) if classes is None else list(classes)
    numbers = [name for name in names if is_number(name)]
    if classes is None and len(numbers) == len(names):
        names.sort(key=float)
    if numbers and len(numbers) < len(names) and classes is None:
        other = next(name for name in names if name not in numbers)
        rows = [np.flatnonzero(stripped == name)[0] for name in (numbers[0], other)]
        both = f"{numbers[0]} in row {rows[0]}, {other} in row {rows[1]}"
        raise ConfigError("labels", both, "all numbers or all words; or name data.source.classes")
    several(names)
    place = {name: number for number, name in enumerate(names)}
    for word in stripped.tolist():
        if word not in place:
            raise UnknownError("labels", word, names)
    targets = torch.tensor([place[word] for word in stripped.tolist()])
    return Labels(targets, names, Multiclass.word)


def several(names: Sequence[str]) -> None:
    if len(names) < 2:
        raise ConfigError("labels", f"{names[0]} everywhere", "two classes or more")


def is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def plain(labels: Any) -> np.ndarray:
    """An array of one type; ConfigError where a list or an array of objects mixes them."""
    if isinstance(labels, Tensor):
        return labels.detach().cpu().numpy()
    found = labels if isinstance(labels, np.ndarray) else None
    if found is not None and found.dtype.kind in "buifU":
        return found
    if found is not None and found.dtype.kind == "S":
        return np.char.decode(found, "utf-8")
    rows = list(labels)
    kinds: dict[str, int] = {}
    for row, label in enumerate(rows):
        kinds.setdefault(kind_of(label), row)
    if len(kinds) > 1:
        each = ", ".join(f"{rows[row]!r} in row {row}" for row in kinds.values())
        raise ConfigError("labels", each, "of one type, none missing")
    if "missing" in kinds or "other" in kinds:
        raise ConfigError("labels", repr(rows[0]), "text or whole numbers")
    return np.array(rows)


def kind_of(label: Any) -> str:
    """Which of the kinds that do not mix a label is of."""
    if isinstance(label, str):
        return "text"
    if label is None or (isinstance(label, float | np.floating) and np.isnan(label)):
        return "missing"
    if isinstance(label, bool | int | float | np.number | np.bool_):
        return "number"
    return "row" if isinstance(label, list | tuple | np.ndarray | Tensor) else "other"


def whole_numbers(found: np.ndarray) -> np.ndarray:
    """float labels as int64, if they are whole: tables give such where one was missing once."""
    bad = ~np.isfinite(found) | (found != np.floor(found))
    if bad.any():
        value = f"{found[bad.argmax()]} in row {bad.argmax()}"
        raise ConfigError("labels", value, "text or whole numbers, none missing")
    return found.astype(np.int64)


def multilabel(found: np.ndarray, classes: Sequence[str] | None) -> Labels:
    """Rows of 0 and 1: one logit each."""
    bad = ((found != 0) & (found != 1)).any(axis=1)
    if bad.any():
        raise ConfigError("labels", f"{found[bad.argmax()]} in row {bad.argmax()}", "0 and 1")
    count = found.shape[1]
    names = [str(n) for n in range(count)] if classes is None else list(classes)
    if len(names) != count:
        raise ConfigError("data.source.classes", f"{len(names)} names", f"{count} names")
    task = Binary.word if count == 1 else Multilabel.word
    return Labels(torch.from_numpy(found.astype(np.float32)), names, task)
