"""The interface of a set of samples, and sets held in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from condenser.data.lengths import lengths
from condenser.data.split import cut
from condenser.errors import ConfigError
from condenser.tasks import Multiclass, Vocabulary

INPUTS = (torch.uint8, torch.float32, torch.int64)


class Samples(Protocol):
    """Labelled images, or other inputs, read by index."""

    @property
    def targets(self) -> Tensor: ...  # int64 (N, …), or float32 (N, labels) of 0 and 1

    @property
    def shape(self) -> tuple[int, ...]: ...  # of one input: (C,H,W) of an image

    def select(self, index: Tensor) -> Samples:
        """The subset at these indices."""

    def to(self, device: torch.device) -> Samples:
        """The set moved to a device if it is in memory; else itself."""

    def read(self, index: Tensor) -> Tensor:
        """uint8, float32 or int64 (B, *shape) at these indices, without random transforms."""

    def stream(self, chunks: Sequence[Tensor], seed: int, view: int | None) -> Iterator[Tensor]:
        """The same for each chunk of indices; `view` None: no random transforms."""

    def digest(self, update: Callable[[bytes | memoryview], None]) -> None:
        """Update a hash with everything that identifies this set."""


@dataclass(frozen=True, eq=False)
class Arrays:
    """A data set in memory: inputs (N, …), targets int64 (N,) or (N, …), or float32 (N, labels).

    Inputs are pixels in uint8 (N,C,H,W); float32 on a scale of their own, of any rank: (N,C,H,W),
    (N,1,samples), (N,features); or token ids in int64, (N,L) or (N,2,L), padded with 0 at the end.

    Raises:
        ValueError: tensors of other types or shapes, or labels other than 0 and 1.
    """

    images: Tensor
    targets: Tensor
    preparation: Mapping[str, object] = field(default_factory=dict)  # of files, before they were it

    def __post_init__(self) -> None:
        pixels = self.images.dtype == torch.uint8 and self.images.ndim != 4
        if self.images.dtype not in INPUTS or self.images.ndim < 2 or pixels:
            allowed = "torch.uint8 (N, C, H, W), or torch.float32 or torch.int64 (N, …)"
            raise ValueError(f"images are {_kind(self.images)}: must be {allowed}")
        form = (self.targets.dtype, self.targets.ndim)
        known = form in ((torch.int64, 1), (torch.int64, 2), (torch.float32, 2))
        if not known or len(self.targets) != len(self.images):
            n = len(self.images)
            allowed = f"torch.int64 ({n},) or ({n}, length), or torch.float32 ({n}, labels)"
            raise ValueError(f"targets are {_kind(self.targets)}: must be {allowed}")
        others = (self.targets != 0) & (self.targets != 1)
        if self.targets.is_floating_point() and bool(others.any()):
            raise ValueError("targets of labels are other numbers too: must be 0 and 1")

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.images.shape[1:])

    @cached_property
    def lengths(self) -> Tensor | None:
        """Of each sample of token ids, on the CPU; None where all are of one length, or no ids."""
        if self.images.dtype != torch.int64:
            return None
        found = lengths(self.images).cpu()
        return found if len(found) and int(found.min()) < int(found.max()) else None

    def select(self, index: Tensor) -> Arrays:
        index = index.to(self.images.device)
        images = self.images.index_select(0, index)
        return replace(self, images=images, targets=self.targets[index])

    def to(self, device: torch.device) -> Arrays:
        return replace(self, images=self.images.to(device), targets=self.targets.to(device))

    def read(self, index: Tensor) -> Tensor:
        return self.images.index_select(0, index.to(self.images.device))

    def stream(self, chunks: Sequence[Tensor], seed: int, view: int | None) -> Iterator[Tensor]:
        # index_select, not images[index]: it copies rows whole and takes a third of the time
        return (self.images.index_select(0, index) for index in chunks)

    def digest(self, update: Callable[[bytes | memoryview], None]) -> None:
        update(repr(tuple(self.images.shape)).encode())
        update(self.images.cpu().contiguous().numpy().data)
        update(self.targets.cpu().contiguous().numpy().data)


def _kind(tensor: Tensor) -> str:
    return f"{tensor.dtype} {tuple(tensor.shape)}"


class Splits(NamedTuple):
    """The parts a source returns. Without `val`, it is split from `train` later.

    `classes` names the logits: the classes, the labels, or of a binary task the one that is yes.
    `task` is one of condenser.tasks by its word. `notes` are warnings for whoever trains on it.
    `vocabulary` says what token ids are.
    """

    train: Samples
    test: Samples
    classes: list[str]
    task: str = Multiclass.word
    val: Samples | None = None
    notes: tuple[str, ...] = ()
    vocabulary: Vocabulary | None = None


def split_test(
    samples: Samples,
    classes: Sequence[str],
    fraction: float = 0.2,
    seed: int = 0,
    task: str = Multiclass.word,
) -> Splits:
    """Hold out a stratified, seeded `fraction` as the test set, if there is no official one."""
    train, test = cut(samples.targets, fraction, seed)
    return Splits(samples.select(train), samples.select(test), list(classes), task)


def splits_of(
    parts: Mapping[str, Samples],
    classes: Sequence[str],
    task: str = Multiclass.word,
    notes: tuple[str, ...] = (),
    test_fraction: float = 0.2,
) -> Splits:
    """The parts train, val and test, or some of them, as `Splits`.

    With val and test, val selects and test is evaluated. With one of them, it is the test set, and
    validation is split from train. With neither, ``test_fraction`` of it becomes the test set.

    Raises:
        ConfigError: there is no part to train on, or ``test_fraction`` leaves none.
    """
    if not 0 < test_fraction < 1:
        raise ConfigError("data.source.test_fraction", test_fraction, "> 0 and < 1")
    if len(parts) == 1:
        ((name, whole),) = parts.items()
        if name in ("val", "test"):
            raise ConfigError("split", f"{name} alone", "train too")
        return split_test(whole, classes, test_fraction, task=task)._replace(notes=notes)
    if "train" not in parts:
        raise ConfigError("split", " and ".join(parts), "train too")
    val = parts.get("val") if "test" in parts else None
    measured = parts.get("test") or parts["val"]
    return Splits(parts["train"], measured, list(classes), task, val, notes)
