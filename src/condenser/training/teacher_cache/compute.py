"""Compute a teacher's outputs for every view of every training image, in a fixed order."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from condenser.capture import Capture, device_of, evaluating
from condenser.data import DataModule
from condenser.errors import CondenserError
from condenser.measure import arithmetic, device_kind
from condenser.training.teacher_cache.digest import digest
from condenser.training.teacher_cache.disk import load_or_make
from condenser.training.teacher_cache.manifest import Manifest, feature
from condenser.training.teacher_cache.settings import Cache, random_seed, views_of
from condenser.training.teacher_cache.table import CachedOutputs


def load_or_compute(
    teacher: nn.Module,
    given: Capture,
    data: DataModule,
    cache: Cache,
    epochs: int,
    cache_dir: Path | None = None,
    device: torch.device | str = "cpu",
    warn: Callable[[str], None] = print,
) -> CachedOutputs | None:
    """Load or compute the teacher's outputs for the training set; None if not cached.

    They are computed in the set's own order, independent of the run's seed and batch size, so that
    all readers find the same values. The teacher is moved to ``device``; with several processes
    rank 0 writes to disk what the others read; in memory each has its own.

    Args:
        teacher: not cached if its attribute ``stochastic`` is true.
        given: capture of the teacher's layers.
        cache_dir: folder of the content-addressed caches.
        warn: called if a damaged cache is recomputed.

    Raises:
        ConfigError: the requested caching is impossible, see ``Cache.check``.
        CondenserError: a named folder holds other outputs; an output is not finite.
        DamagedError: a file is not the one that was written.
    """
    drawn = getattr(teacher, "stochastic", False)
    cache.check(data, given.names, drawn)
    views, blind = views_of(data), bool(given.names) and not cache.features
    blind |= not cacheable(data, given.names)
    if cache.keep == "none" or views is None or drawn or blind:
        return None
    device = torch.device(device)
    teacher.to(device)
    manifest = describe(teacher, given, data, cache, views)
    place = cache.place(views, manifest.bytes, epochs, cache_dir is not None)
    if place == "none":
        return None
    ask = partial(fill, manifest=manifest, teacher=teacher, given=given, data=data, device=device)
    if place == "memory":
        empty = {name: np.empty(shape, dtype) for name, (dtype, shape) in manifest.arrays.items()}
        ask(empty)
        whole = {name: torch.from_numpy(array) for name, array in empty.items()}
        return CachedOutputs(manifest, whole).to(device)
    own = warn if cache.folder is None else None
    return load_or_make(cache.where(cache_dir, manifest.key), manifest, ask, own).to(device)


def cacheable(data: DataModule, layers: Sequence[str]) -> bool:
    """Whether outputs have one shape for all samples: features of token ids have their lengths."""
    return data.task.by_sample and (data.vocabulary is None or not layers)


def describe(
    teacher: nn.Module, given: Capture, data: DataModule, cache: Cache, views: int
) -> Manifest:
    """The manifest of the teacher's outputs, with shapes taken from two images."""
    with evaluating(teacher), given:
        logits = teacher(data.example(2).to(device_of(teacher)))
        features = given.take()
    return Manifest(
        teacher=digest(teacher),
        data=data.fingerprint,
        seed=random_seed(data),
        views=views,
        samples=data.train_size,
        classes=logits.shape[1],
        logits=cache.logits,
        layers={name: tuple(feature.shape[1:]) for name, feature in features.items()},
        numerics=arithmetic(device_kind(device_of(teacher).type)),
    )


def fill(
    arrays: Mapping[str, np.ndarray],
    manifest: Manifest,
    teacher: nn.Module,
    given: Capture,
    data: DataModule,
    device: torch.device,
) -> None:
    """Compute the outputs of every view of every image into (views, samples, …) arrays."""
    with evaluating(teacher), given:
        for view in range(manifest.views):
            for batch in data.whole_train(view):
                said = teacher(batch.image.to(device))
                rows = slice(int(batch.index[0]), int(batch.index[-1]) + 1)
                for name, part in kept(manifest, said, given.take()).items():
                    arrays[name][view, rows] = part.cpu().numpy()


def kept(manifest: Manifest, logits: Tensor, features: dict[str, Tensor]) -> dict[str, Tensor]:
    """A batch's arrays in their storage dtypes."""
    parts = manifest.form.encode(logits.float())
    for i, layer in enumerate(manifest.layers):
        name = feature(i)
        parts[name] = features[layer].to(getattr(torch, manifest.arrays[name][0]))
    bad = [n for n, p in parts.items() if p.is_floating_point() and not torch.isfinite(p).all()]
    if bad:
        largest = max(float(t.abs().max()) for t in (logits, *features.values()))
        raise CondenserError(
            f"the teacher's {' and '.join(bad)} are not finite as they would be kept (its largest "
            f"output is {largest:g}, float16 ends at 65504): try teacher.cache.logits=float32"
        )
    return parts
