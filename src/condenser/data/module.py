"""The LightningDataModule: loaders, normalisation and a fingerprint."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from copy import copy
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import pytorch_lightning as pl
import torch
from torch import Tensor

from condenser.data.augment import Augmentation, describe, of_images
from condenser.data.batches import Batch, InOrder, Normalise, Shuffled, moved
from condenser.data.lengths import cut
from condenser.data.mix import Mix
from condenser.data.prepare import Parts, check_classes, prepare
from condenser.data.samples import Arrays, Samples, Splits
from condenser.data.split import stratified_order
from condenser.data.torchvision_sets import folder
from condenser.errors import ConfigError, count
from condenser.tasks import Multiclass, Task, Vocabulary

_PART = 256  # samples


class DataModule(pl.LightningDataModule):
    """Batches of a data set as a pure function of (seed, epoch, step).

    The set is read on first use, and stays on the CPU until `to_device`, or a trainer on a GPU.

    Args:
        source: function of the root folder that returns `Splits`; or `Arrays`, of which a fixed
            20 % become the test set.
        batch_size: training samples per step and process.
        val_fraction: fraction of the training set held out for validation if the data set has no
            validation part; 0 for none.
        split_seed: of the validation split, of `limit` and of `calibration`; not the run's seed,
            so that runs with other seeds are compared on the same samples.
        seed: of sample order and augmentation.
        augment: applied in sequence to training batches, see `Augmentation`.
        mean, std: per channel on the scale 0…1; None: computed on the training set.
        views: number of augmented versions of a sample; None: a new one each epoch.
        limit: train on that many samples only, stratified.
        omit: names of classes that training lacks; validation and test have them.
        drop_last: drop the incomplete last batch of an epoch.
        mix: of training samples in pairs, see `Mix`.
        sampling: balanced draws every class equally often.
        class_weights: of the loss on labels: a factor a class, or balanced: N / (classes · n_c).
        strong: augmentations of a second view of every sample, for objectives that want one.

    Raises:
        ConfigError: an invalid value; raised before reading data where possible.
    """

    def __init__(
        self,
        name: str,
        source: Callable[[str | Path | None], Splits | Arrays],
        root: str | Path | None = None,
        *,
        batch_size: int,
        eval_batch_size: int = 1000,
        val_fraction: float = 0.1,
        split_seed: int = 0,
        seed: int = 0,
        augment: Iterable[Augmentation] = (),
        mean: Iterable[float] | None = None,
        std: Iterable[float] | None = None,
        views: int | None = None,
        limit: int | None = None,
        omit: Iterable[str | int] = (),
        drop_last: bool = False,
        mix: Mix | None = None,
        sampling: Literal["balanced"] | None = None,
        class_weights: Literal["balanced"] | list[float] | None = None,
        strong: Iterable[Augmentation] = (),
    ) -> None:
        super().__init__()
        count("data.batch_size", batch_size)
        count("data.eval_batch_size", eval_batch_size)
        for key, value in {"views": views, "limit": limit}.items():
            if value is not None:
                count(f"data.{key}", value, " or null")
        if not 0 <= val_fraction < 1:
            raise ConfigError("data.val_fraction", val_fraction, "0 (none) to less than 1")
        if root is not None and not Path(root).is_file():  # a source may read one
            folder(root)
        self.name, self.source, self.root = name, source, root
        self.batch_size, self.eval_batch_size = batch_size, eval_batch_size
        self.val_fraction, self.split_seed = val_fraction, split_seed
        self.seed, self.drop_last = seed, drop_last
        self.augment, self.strong = tuple(augment), tuple(strong)
        self.views, self.limit, self.omit = views, limit, [str(name) for name in omit]
        self.epoch = 0  # of the training batches while no trainer is attached
        self.part = (0, 1)  # of each batch this process has: number, of how many
        self.mix, self.sampling, self.class_weights = mix, sampling, class_weights
        self._settings = f"{describe(self.augment)} views={views} limit={limit}"
        self._settings += f" omit={self.omit}" * bool(self.omit)
        more: dict[str, Any] = {"mix": mix, "sampling": sampling, "class_weights": class_weights}
        more["strong"] = describe(self.strong) if self.strong else None
        if chosen := {key: value for key, value in more.items() if value is not None}:
            self._settings += f" {describe([mix]) if mix else ''} {chosen}"
        self._given = tuple(None if v is None else tuple(float(x) for x in v) for v in (mean, std))
        self._parts: Parts | None = None

    def setup(self, stage: str | None = None) -> None:
        """Read and split the data set, once."""
        if self._parts is None:
            mean, std = self._given
            loaded = self.source(self.root)
            settings = (self.val_fraction, self.split_seed, self.limit, mean, std, self.omit)
            self._parts = prepare(loaded, *settings)
            of_images({"augment": self.augment, "mix": (self.mix,)}, self.input_shape)
            own = {"sampling": self.sampling, "class_weights": self.class_weights}
            check_classes(own, self.task)

    @property
    def parts(self) -> Parts:
        """The training, validation and test samples."""
        self.setup()
        assert self._parts is not None
        return self._parts

    @property
    def task(self) -> Task:
        """The task: what the logits mean."""
        return self.parts.task

    @property
    def weighted_task(self) -> Task:
        """The task as training sees it: the loss on labels weighs classes by `class_weights`."""
        if self.class_weights is None:
            return self.task
        count = self.targets.cpu().bincount(minlength=self.num_classes).double()
        balanced = len(self.targets) / (self.num_classes * count.clamp(min=1))
        found = balanced.tolist() if self.class_weights == "balanced" else self.class_weights
        return Multiclass(self.num_classes, tuple(found))

    @property
    def targets(self) -> Tensor:
        """Of the training samples, by index: int64 (N,), or float32 (N, labels)."""
        return self.parts.train.targets

    @property
    def classes(self) -> list[str]:
        return self.parts.classes

    @property
    def num_classes(self) -> int:
        """Length of the logits."""
        return len(self.parts.classes)

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Of one sample: (C,H,W) of an image, (L,) of token ids, their longest."""
        return self.parts.train.shape

    @property
    def vocabulary(self) -> Vocabulary | None:
        return self.parts.vocabulary

    @property
    def raw(self) -> torch.dtype:
        """Of inputs before normalisation: uint8, float32 on a scale of their own, int64 ids."""
        return self.parts.train.read(torch.arange(1)).dtype

    @property
    def mean(self) -> tuple[float, ...]:
        return self.parts.mean

    @property
    def std(self) -> tuple[float, ...]:
        return self.parts.std

    @cached_property
    def fingerprint(self) -> str:
        """sha256 over contents, splits, normalisation, augmentation; not seed or batch size."""
        return self.parts.fingerprint(self._settings)

    @property
    def fixed(self) -> bool:
        """Whether every epoch shows the same images, so that teacher outputs can be cached."""
        in_memory = isinstance(self.parts.train, Arrays)
        return self.views == 1 or (in_memory and not self.augment and self.mix is None)

    def whole_train(self, view: int = 0, batch_size: int = 256) -> Iterator[Batch]:
        """All training images of one view in order, identical on every rank."""
        loader = self.train_dataloader()
        order = torch.arange(self.train_size, device=loader.samples.targets.device)
        return loader.shown(order, view, batch_size)

    def train_dataloader(self) -> Shuffled:
        samples, normalise = self._placed("train")
        return Shuffled(
            samples,
            self.batch_size,
            normalise,
            seed=self.seed,
            augment=self.augment,
            views=self.views,
            epoch=self._epoch,
            rank=self.part[0],
            world_size=self.part[1],
            drop_last=self.drop_last,
            mix=self.mix,
            classes=self.num_classes,
            balanced=self.sampling is not None,
            strong=self.strong,
        )

    def val_dataloader(self) -> InOrder | list[Batch]:
        """An empty list is Lightning's way to say no validation."""
        samples, normalise = self._placed("val")
        return InOrder(samples, self.eval_batch_size, normalise) if len(samples.targets) else []

    def test_dataloader(self) -> InOrder:
        samples, normalise = self._placed("test")
        return InOrder(samples, self.eval_batch_size, normalise)

    def example(self, batch: int = 1) -> Tensor:
        """The first training images, not augmented; of sequences those of nearly median length."""
        return self.labelled(batch)[0]

    def pixels(self, batch: int = 1) -> Tensor:
        """The images of ``example`` before normalisation: (batch,C,H,W) on the CPU."""
        return self._first(batch)[0]

    def labelled(self, batch: int) -> tuple[Tensor, Tensor]:
        """``example`` with its targets."""
        return Normalise(self.mean, self.std)((found := self._first(batch))[0]), found[1]

    def calibration(self, n: int) -> Tensor:
        """n stratified training images, not augmented: float32 (n,C,H,W) on the CPU."""
        return self.sample(n)[0]

    def sample(self, n: int) -> tuple[Tensor, Tensor]:
        """``calibration`` images with their targets."""
        images, targets = zip(*self._in_parts(n), strict=True)
        return cut(torch.cat(images), torch.cat(targets))

    def in_parts(self, n: int) -> Iterator[tuple[Tensor, Tensor]]:
        """``sample`` in equal chunks of at most 256 images, each stratified."""
        if self.vocabulary is None:
            return self._in_parts(n)
        whole = (of.tensor_split(-(-n // _PART)) for of in self.sample(n))  # of one length
        return zip(*whole, strict=True)

    def _in_parts(self, n: int) -> Iterator[tuple[Tensor, Tensor]]:
        self._check_enough(n)
        train = self.parts.train
        order = stratified_order(train.targets, self.split_seed)[:n]
        for index in order.tensor_split(-(-n // _PART)):
            yield self._read(index), train.targets.cpu()[index]

    def training_on(self, index: Tensor) -> DataModule:
        """The same data with these training samples alone, normalised as before."""
        part = copy(self)
        part._parts = replace(self.parts, train=self.parts.train.select(index))
        part.trainer = None
        part.__dict__.pop("fingerprint", None)
        return part

    def to_device(self, device: torch.device | str) -> None:
        """Keep the uint8 images on the device (sets read from files stay on disk)."""
        self._parts = self.parts.to(torch.device(device))

    def transfer_batch_to_device(self, batch: Any, device: torch.device, _: int) -> Any:
        return moved(batch, device)

    @property
    def train_size(self) -> int:
        return len(self.parts.train.targets)

    def _epoch(self) -> int:
        return self.trainer.current_epoch if self.trainer else self.epoch

    def _placed(self, part: str) -> tuple[Samples, Normalise]:
        if self.trainer and self.trainer.strategy.root_device.type == "cuda":
            self.to_device(self.trainer.strategy.root_device)
        samples: Samples = getattr(self.parts, part)
        return samples, Normalise(self.mean, self.std, samples.targets.device)

    def _read(self, index: Tensor) -> Tensor:
        return Normalise(self.mean, self.std)(self.parts.train.read(index).cpu())

    def _first(self, batch: int) -> tuple[Tensor, Tensor]:
        self._check_enough(batch)
        train, index = self.parts.train, torch.arange(batch)
        if (lengths := getattr(train, "lengths", None)) is not None:
            index = (lengths - lengths.median()).abs().argsort(stable=True)[:batch]
        return cut(train.read(index).cpu(), train.targets.cpu()[index])

    def _check_enough(self, n: int) -> None:
        if not 1 <= n <= self.train_size:
            raise ValueError(f"n={n}: must be 1 to {self.train_size}, the training samples")
