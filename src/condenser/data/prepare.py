"""Split, normalise and fingerprint what a source returns."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from condenser.data.pixels import pixel_statistics
from condenser.data.samples import Arrays, Samples, Splits, split_test
from condenser.data.split import cut, take
from condenser.errors import ConfigError, UnknownError
from condenser.tasks import Binary, Multiclass, Multilabel, Task, Vocabulary, task_of


@dataclass(frozen=True, eq=False)
class Parts:
    """The splits of a run, with their task and normalisation."""

    train: Samples
    val: Samples
    test: Samples
    classes: list[str]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    task: Task
    notes: tuple[str, ...] = ()
    vocabulary: Vocabulary | None = None

    def to(self, device: torch.device) -> Parts:
        return replace(
            self, train=self.train.to(device), val=self.val.to(device), test=self.test.to(device)
        )

    def fingerprint(self, settings: str) -> str:
        """sha256 over every image, target, split, normalisation, names, task, `settings`."""
        known = (self.mean, self.std, self.classes, settings, self.task.word)
        ids = repr(self.vocabulary) if self.vocabulary else ""
        digest = hashlib.sha256((repr(known) + ids).encode())
        for part in (self.train, self.val, self.test):
            digest.update(f"{len(part.targets)} ".encode())
            part.digest(digest.update)
        return digest.hexdigest()


def prepare(
    loaded: Splits | Arrays,
    val_fraction: float,
    split_seed: int,
    limit: int | None = None,
    mean: tuple[float, ...] | None = None,
    std: tuple[float, ...] | None = None,
    omit: Sequence[str] = (),
) -> Parts:
    """Split validation from train if there is none, compute mean and std if not given, leave the
    classes in `omit` out of training, keep `limit` training samples.

    Raises:
        ConfigError: more samples asked for than there are; mean or std do not fit the channels;
            targets do not fit the task; `omit` has no class's name, or all, or labels are no
            classes.
    """
    if isinstance(loaded, Arrays):
        loaded = _named(loaded)
    task = task_of(loaded.task, len(loaded.classes))
    for part in (loaded.train, loaded.test, *([loaded.val] if loaded.val else [])):
        _check_targets(task, part.targets)
        _check_ids(loaded.vocabulary, part)
    train, val = loaded.train, loaded.val
    if val is None:
        kept, held_out = cut(loaded.train.targets, val_fraction, split_seed)
        train, val = loaded.train.select(kept), loaded.train.select(held_out)
    if mean is None or std is None:
        measured = pixel_statistics(train)
        mean, std = mean or measured[0], std or measured[1]
    _check_channels(mean, std, 0 if loaded.vocabulary else train.shape[0])
    if omit:
        train = train.select(_without(train.targets, omit, loaded.classes))
    if limit is not None:
        if limit > len(train.targets):
            allowed = f"1 to {len(train.targets)} (the training samples) or null"
            raise ConfigError("data.limit", limit, allowed)
        train = train.select(take(train.targets, limit, split_seed))
    known = (loaded.classes, mean, std, task, loaded.notes, loaded.vocabulary)
    return Parts(train, val, loaded.test, *known)


def _named(samples: Arrays) -> Splits:
    """Turn bare samples into `Splits`: a test set, numbered classes, the task of their targets."""
    if samples.targets.ndim == 1:
        count, task = int(samples.targets.max()) + 1, Multiclass.word
    else:
        count = samples.targets.shape[1]
        task = Binary.word if count == 1 else Multilabel.word
    return split_test(samples, [str(number) for number in range(count)], task=task)


def _without(targets: Tensor, omit: Sequence[str], classes: Sequence[str]) -> Tensor:
    """Indices of the samples that are of none of these classes."""
    if targets.ndim > 1:
        raise ConfigError("data.omit", list(omit), "empty where a sample has several labels")
    for name in omit:
        if name not in classes:
            raise UnknownError("data.omit", name, classes)
    gone = torch.tensor([classes.index(name) for name in omit])
    kept = (~torch.isin(targets, gone)).nonzero().flatten()
    if not len(kept):
        raise ConfigError("data.omit", list(omit), "some of the classes, not all")
    return kept


def _check_targets(task: Task, targets: Tensor) -> None:
    if not task.fits(targets):
        found = f"{task.word} with targets {targets.dtype} {tuple(targets.shape)}"
        raise ConfigError(
            "data.source", found, f"{task.target} where there are {task.outputs} names"
        )


def check_classes(settings: Mapping[str, Any], task: Task) -> None:
    """ConfigError for settings of classes where they do not fit the task."""
    for key, value in settings.items():
        if value is not None and task.word != Multiclass.word:
            raise ConfigError(f"data.{key}", value, f"null for data that is {task.word}")
    weights = settings["class_weights"]
    if isinstance(weights, list) and (len(weights) != task.outputs or min(weights) <= 0):
        allowed = f"a list of {task.outputs} numbers above 0 (the classes), or balanced"
        raise ConfigError("data.class_weights", weights, allowed)


def _check_ids(vocabulary: Vocabulary | None, part: Samples) -> None:
    """Token ids, all of them below the size of a vocabulary, or there is none."""
    ids = part.images if isinstance(part, Arrays) else None
    whole = ids is not None and ids.dtype == torch.int64
    if whole != (vocabulary is not None):
        raise ConfigError("data.source", vocabulary, "a vocabulary for data of token ids, no other")
    if vocabulary is not None and ids is not None and ids.numel():
        least, most = int(ids.min()), int(ids.max())
        if least < 0 or most >= vocabulary.size:
            allowed = f"0 up to {vocabulary.size - 1}, the last of the vocabulary"
            raise ConfigError("data.source", f"token ids {least} to {most}", allowed)


def _check_channels(mean: tuple[float, ...], std: tuple[float, ...], channels: int) -> None:
    for word, values in (("mean", mean), ("std", std)):
        if len(values) != channels or (word == "std" and min(values, default=1) <= 0):
            what = f"a list of {channels} (the channels), std above 0, or null"
            what = what if channels else "null for token ids"
            raise ConfigError(f"data.{word}", list(values), what)
