"""Data sets and their batches.

`DataModule` is imported on first use, as importing Lightning takes seconds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from condenser.data.arrays import arrays, from_arrays
from condenser.data.attributes import fashion_attributes
from condenser.data.audio import audiofolder, fsdd
from condenser.data.augment import Affine, Augmentation, HorizontalFlip, RandomCrop, Shift
from condenser.data.batches import Batch, InOrder, Normalise, Shuffled, TwoViews, moved
from condenser.data.counter_rng import key, uniform
from condenser.data.folder import Files, imagefolder
from condenser.data.foreign import from_dataset, huggingface
from condenser.data.handed_over import Given, given
from condenser.data.language import text_file, tiny_shakespeare
from condenser.data.loaders import Loaders, as_batch, batches_of
from condenser.data.manifest import manifest
from condenser.data.mix import CutMix, Mix, Mixup
from condenser.data.parallel import multi30k, parallel
from condenser.data.ratings import movielens_small, ratings
from condenser.data.samples import Arrays, Samples, Splits, split_test
from condenser.data.sets import (
    cifar10,
    cifar100,
    digits,
    fashion_mnist,
    mnist,
    synthetic,
)
from condenser.data.text import sms_spam
from condenser.data.texts import sms_texts, sst2, texts, trec
from condenser.data.tiny_imagenet import tiny_imagenet
from condenser.data.torchvision_sets import from_torchvision
from condenser.data.transforms import Transform
from condenser.data.waves import Noise, TimeShift

if TYPE_CHECKING:
    from condenser.data.module import DataModule

__all__ = [
    "Affine",
    "Arrays",
    "Augmentation",
    "Batch",
    "CutMix",
    "DataModule",
    "Files",
    "Given",
    "HorizontalFlip",
    "InOrder",
    "Loaders",
    "Mix",
    "Mixup",
    "Noise",
    "Normalise",
    "RandomCrop",
    "Samples",
    "Shift",
    "Shuffled",
    "Splits",
    "TimeShift",
    "Transform",
    "TwoViews",
    "arrays",
    "as_batch",
    "audiofolder",
    "batches_of",
    "cifar10",
    "cifar100",
    "digits",
    "fashion_attributes",
    "fashion_mnist",
    "from_arrays",
    "from_dataset",
    "from_torchvision",
    "fsdd",
    "given",
    "huggingface",
    "imagefolder",
    "key",
    "manifest",
    "mnist",
    "moved",
    "movielens_small",
    "multi30k",
    "parallel",
    "ratings",
    "sms_spam",
    "sms_texts",
    "split_test",
    "sst2",
    "synthetic",
    "text_file",
    "texts",
    "tiny_imagenet",
    "tiny_shakespeare",
    "trec",
    "uniform",
]


def __getattr__(name: str) -> Any:
    if name == "DataModule":
        from condenser.data.module import DataModule

        return DataModule
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
