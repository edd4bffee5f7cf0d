"""From what a source returns to the parts of a run, their normalisation and fingerprint."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

import torch

from condenser.data.pixels import pixel_statistics
from condenser.data.samples import Arrays, Samples, Splits, split_test
from condenser.data.split import cut, take
from condenser.errors import ConfigError


@dataclass(frozen=True, eq=False)
class Parts:
    """The samples of a run and what they are normalised by."""

    train: Samples
    val: Samples
    test: Samples
    classes: list[str]
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def to(self, device: torch.device) -> Parts:
        return replace(
            self, train=self.train.to(device), val=self.val.to(device), test=self.test.to(device)
        )

    def fingerprint(self, settings: str) -> str:
        """sha256 over every image, target, the cut, the normalisation and `settings`."""
        digest = hashlib.sha256(repr((self.mean, self.std, len(self.classes), settings)).encode())
        for part in (self.train, self.val, self.test):
            part.digest(digest.update)
        return digest.hexdigest()


def prepare(
    loaded: Splits | Arrays,
    val_fraction: float,
    split_seed: int,
    limit: int | None = None,
    mean: tuple[float, ...] | None = None,
    std: tuple[float, ...] | None = None,
) -> Parts:
    """Cut validation from train, measure mean and std if not given, keep `limit` training samples.

    Raises:
        ConfigError: more samples asked for than there are; mean or std do not fit the channels.
    """
    if isinstance(loaded, Arrays):
        loaded = split_test(loaded, [str(label) for label in range(int(loaded.targets.max()) + 1)])
    kept, held_out = cut(loaded.train.targets, val_fraction, split_seed)
    train = loaded.train.select(kept)
    if mean is None or std is None:
        measured = pixel_statistics(train)
        mean, std = mean or measured[0], std or measured[1]
    _check_channels(mean, std, train.shape[0])
    if limit is not None:
        if limit > len(kept):
            allowed = f"1 to {len(kept)} (the training samples) or null"
            raise ConfigError("data.limit", limit, allowed)
        train = train.select(take(train.targets, limit, split_seed))
    return Parts(train, loaded.train.select(held_out), loaded.test, loaded.classes, mean, std)


def _check_channels(mean: tuple[float, ...], std: tuple[float, ...], channels: int) -> None:
    for word, values in (("mean", mean), ("std", std)):
        if len(values) != channels or (word == "std" and min(values) <= 0):
            what = f"a list of {channels} (the channels), std above 0, or null"
            raise ConfigError(f"data.{word}", list(values), what)
