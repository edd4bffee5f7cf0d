"""Batches as a pure function of (seed, epoch, step)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from condenser.data.augment import Augmentation
from condenser.data.counter_rng import key, uniform
from condenser.data.lengths import bucketed, cut
from condenser.data.mix import Mix, blended
from condenser.data.samples import Samples


class Batch(NamedTuple):
    """One batch for training or evaluation."""

    image: Tensor  # float32 (B,C,H,W), normalised; or float32 (B, …), or token ids int64 (B, …, L)
    target: Tensor  # int64 (B, …), or float32 (B, labels); mixed: float32 (B, classes), shares
    index: Tensor  # type: ignore[assignment]  # int64 (B,), position in the train, val or test set


class TwoViews(NamedTuple):
    """A batch for training that shows its samples twice."""

    image: Tensor  # as in ``Batch``
    target: Tensor
    index: Tensor  # type: ignore[assignment]
    strong: Tensor  # of the same samples, augmented by ``data.strong``


def moved(batch: Any, device: torch.device | str) -> Any:
    """A batch on the device."""
    if batch.image.device == device:
        return batch
    return type(batch)(*(tensor.to(device, non_blocking=True) for tensor in batch))


class Normalise:
    """(x/255 - mean) / std for each channel of uint8 (B,C,…); (x - mean) / std of float32; ids
    stay as they are."""

    def __init__(
        self, mean: Sequence[float], std: Sequence[float], device: torch.device | None = None
    ) -> None:
        self._constants = {}
        for dtype, unit in ((torch.uint8, 255), (torch.float32, 1)):
            scale = unit * torch.tensor(std, dtype=torch.float64)
            shift = unit * torch.tensor(mean, dtype=torch.float64)
            factor = scale.reciprocal().to(device, torch.float32)
            self._constants[dtype] = shift.to(device, torch.float32), factor

    def __call__(self, images: Tensor) -> Tensor:
        # two roundings, no fused multiply-add: bit-identical in any batch and on any device
        if images.dtype == torch.int64:
            return images
        sides = (-1, *[1] * (images.ndim - 2))
        shift, factor = (constant.view(sides) for constant in self._constants[images.dtype])
        return images.to(torch.float32, copy=True).sub_(shift).mul_(factor)


@dataclass(eq=False)
class InOrder:
    """A set in order, without random transforms: for evaluation, complete on every rank."""

    samples: Samples
    batch_size: int
    normalise: Callable[[Tensor], Tensor]

    def __len__(self) -> int:
        return math.ceil(len(self.samples.targets) / self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        targets = self.samples.targets
        chunks = torch.arange(len(targets), device=targets.device).split(self.batch_size)
        for image, index in zip(self.samples.stream(chunks, 0, None), chunks, strict=True):
            yield Batch(*cut(self.normalise(image), targets[index]), index)

    def raw(self) -> InOrder:
        """The same batches with uint8 images, not normalised."""
        return replace(self, normalise=_as_stored)


def _as_stored(images: Tensor) -> Tensor:
    return images


_MIX_STREAM, _PARTNER_STREAM = -2, -3  # augmentations have the streams 0, 1, …; files -1
_STRONG_STREAMS = 1000  # and those of the second view from here on


def _zero() -> int:
    return 0


@dataclass(eq=False)
class Shuffled:
    """Training batches, one epoch per iteration: shuffled, augmented, normalised.

    The order is a function of (seed, epoch), a sample's augmentation, and with `mix` its partner
    and share, of (seed, index, view), where view is the epoch, or epoch % views. With `balanced`
    an epoch draws as many samples with replacement, every class equally often. Sequences of
    different lengths come to batches of like length. With `strong` a batch has a second view of
    its samples, of these augmentations and random numbers of their own.

    `epoch` is asked when the first batch is drawn. Rank r of w takes every w-th sample from r on of
    the order that all ranks share; n mod w samples (others each epoch) are left out, so that all
    ranks make the same steps. The last batch may be smaller unless `drop_last`; a single sample
    that is left joins the batch before it, as it has no variance of its own for a batch norm.

    Lightning saves and restores `state_dict` with its checkpoints: an interrupted epoch goes on
    where it stopped.
    """

    samples: Samples
    batch_size: int
    normalise: Normalise
    seed: int
    augment: Sequence[Augmentation] = ()
    views: int | None = None
    epoch: Callable[[], int] = _zero
    rank: int = 0
    world_size: int = 1
    drop_last: bool = False
    mix: Mix | None = None
    classes: int = 0  # of a mixed target
    balanced: bool = False
    strong: Sequence[Augmentation] = ()
    _place: tuple[int, int] = field(default=(0, 0), init=False)  # epoch, steps handed out in it
    _resume: tuple[int, int] | None = field(default=None, init=False)  # the next iteration's begin

    def __len__(self) -> int:
        return len(self.sizes)

    @property
    def sizes(self) -> list[int]:
        """Batch sizes of an epoch on one rank."""
        whole, left = divmod(len(self.samples.targets) // self.world_size, self.batch_size)
        sizes = [self.batch_size] * whole
        if self.drop_last or not left:
            return sizes
        if left == 1 and whole:
            return [*sizes[:-1], self.batch_size + 1]
        return [*sizes, left]

    def order(self, epoch: int) -> Tensor:
        """This rank's indices in the order of the epoch: int64, on the device of the samples."""
        total = len(self.samples.targets)
        generator = torch.Generator().manual_seed(key(self.seed, epoch))
        if self.balanced:
            targets = self.samples.targets.cpu()
            weights = targets.bincount().double().reciprocal()[targets]
            shuffled = torch.multinomial(weights, total, replacement=True, generator=generator)
        else:
            shuffled = torch.randperm(total, generator=generator)
        length = getattr(self.samples, "lengths", None)
        if length is not None:
            whole = self.batch_size * self.world_size
            shuffled = bucketed(shuffled, length, whole, generator)
        share = shuffled[: total - total % self.world_size][self.rank :: self.world_size]
        kept = len(self) * self.batch_size if self.drop_last else len(share)
        return share[:kept].to(self.samples.targets.device)

    def at(self, epoch: int, start_step: int = 0) -> Iterator[Any]:
        """The batches of an epoch from `start_step` on."""
        if start_step >= len(self):
            return iter(())
        view = epoch if self.views is None else epoch % self.views
        order = self.order(epoch)[start_step * self.batch_size :]
        return self.shown(order, view, self.sizes[start_step:])

    def shown(self, order: Tensor, view: int, batch_size: int | list[int]) -> Iterator[Any]:
        """A view of the samples at the indices of `order`, in batches of one or of these sizes."""
        chunks = order.split(batch_size)
        targets = self.samples.targets[order].split(batch_size)
        images = self._images(order, view, batch_size)
        if self.mix is not None:
            yield from self._mixed(self.mix, images, order, view, batch_size)
            return
        if self.strong:
            second = self._images(order, view, batch_size, self.strong, _STRONG_STREAMS)
            for step, pair in enumerate(zip(images, second, strict=True)):
                yield TwoViews(pair[0], targets[step], chunks[step], pair[1])
            return
        for step, image in enumerate(images):
            yield Batch(*cut(image, targets[step]), chunks[step])

    def _images(
        self,
        order: Tensor,
        view: int,
        batch_size: int | list[int],
        augment: Sequence[Augmentation] | None = None,
        first: int = 0,
    ) -> Iterator[Tensor]:
        """A view of the images at the indices of `order`, augmented and normalised; the random
        numbers of the augmentations are of the streams from ``first`` on."""
        chunks, augment = order.split(batch_size), self.augment if augment is None else augment
        # for the whole epoch at once: launching the hash's twenty small operations dominates
        draws = [
            uniform(self.seed, order, view, stream, one.draws).split(batch_size)
            for stream, one in enumerate(augment, first)
        ]
        for step, image in enumerate(self.samples.stream(chunks, self.seed, view)):
            for one, drawn in zip(augment, draws, strict=True):
                image = one(image, drawn[step])
            yield self.normalise(image)

    def _mixed(
        self,
        mix: Mix,
        images: Iterator[Tensor],
        order: Tensor,
        view: int,
        batch_size: int | list[int],
    ) -> Iterator[Batch]:
        """Each sample with a partner from the whole set: batches and ranks change nothing."""
        targets = self.samples.targets
        place = uniform(self.seed, order, view, _PARTNER_STREAM, 1)[:, 0].double()
        partner = (place * len(targets)).long()
        draws = uniform(self.seed, order, view, _MIX_STREAM, mix.draws).split(batch_size)
        partners = self._images(partner, view, batch_size)
        pairs = zip(
            images, partners, draws, order.split(batch_size), partner.split(batch_size), strict=True
        )
        for image, other, drawn, index, second in pairs:
            mixed, share = mix(image, other, drawn)
            target = blended(targets[index], targets[second], share, self.classes)
            yield Batch(mixed, target, index)

    def __iter__(self) -> Iterator[Any]:
        # a generator: Lightning makes the iterator before it has restored the epoch, draws after
        epoch = self.epoch()
        interrupted, done = self._resume or (epoch, 0)
        self._resume = None
        start = done if interrupted == epoch else 0
        for step, batch in enumerate(self.at(epoch, start), start + 1):
            self._place = (epoch, step)
            yield batch

    def state_dict(self) -> dict[str, int]:
        return {"epoch": self._place[0], "step": self._place[1]}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self._place = self._resume = (state["epoch"], state["step"])
