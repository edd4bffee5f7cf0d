"""A person's own DataLoaders, for modules that a trainer of theirs runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from condenser.data.batches import Batch, TwoViews
from condenser.errors import ConfigError
from condenser.tasks import Task, task_of


class Loaders:
    """What a module needs to know of its data, from DataLoaders of (image, target).

    Args:
        train: a DataLoader, or any sized iterable of batches.
        classes: how many there are; of labels, how many.
        task: multiclass, multilabel or binary.

    Raises:
        ConfigError: batches that are no pairs of tensors.
    """

    fixed = False  # images may differ from epoch to epoch: a teacher's outputs are not cached
    views = None

    def __init__(self, train: Any, classes: int, task: str = "multiclass") -> None:
        self.train = train
        self.task: Task = task_of(task, classes)
        self.first = as_batch(next(iter(train)))
        sampled = getattr(train, "dataset", None)
        self.train_size = len(sampled) if sampled is not None else len(self.first.target)

    @property
    def targets(self) -> Tensor:
        """Of the first batch: all that is known of them."""
        return self.first.target

    @property
    def weighted_task(self) -> Task:
        return self.task

    def example(self, batch: int = 1) -> Tensor:
        """The first images: (batch, ...)."""
        return self.first.image[:batch].cpu()

    def train_dataloader(self) -> Any:
        return self.train


def as_batch(found: Any) -> Batch:
    """(image, target) of anybody's DataLoader as a batch; -1 for indices that are not known."""
    if isinstance(found, Batch | TwoViews):
        return found  # type: ignore[return-value]
    if not isinstance(found, Sequence) or len(found) != 2:
        raise ConfigError("batch", type(found).__name__, "a pair (image, target)")
    image, target = found
    return Batch(image, target, torch.full((len(target),), -1, device=target.device))


def batches_of(found: Any) -> Iterator[Batch]:
    """One batch of somebody's DataLoader, or the several that our own loader hands over."""
    if isinstance(found, Batch | TwoViews) or isinstance(found[0], Tensor):
        yield as_batch(found)
    else:
        yield from found
