"""Augmentations of batches before normalisation; each sample's random numbers are passed in."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

import torch
from torch import Tensor
from torch.nn import functional

from condenser.errors import ConfigError, UnknownError, nonnegative


class Augmentation(Protocol):
    """uint8 or float32 (B,C,H,W) and float32 (B,draws) from [0, 1) to images of that kind.

    A sample's result depends on its own row of draws only, and ``repr`` names every setting: it
    goes into the fingerprint of the data (a dataclass has such a one). One that takes inputs of
    other ranks, or token ids, has an attribute ``of_images`` that is false.
    """

    draws: ClassVar[int]

    def __call__(self, images: Tensor, draws: Tensor) -> Tensor: ...


@dataclass(frozen=True)
class RandomCrop:
    """Pad by `padding` pixels on every side, cut the old size out at a random place.

    Source: He et al., Deep residual learning (2016), section 4.2, https://arxiv.org/abs/1512.03385
    """

    padding: int = 4
    mode: str = "zeros"
    draws: ClassVar[int] = 2

    def __post_init__(self) -> None:
        _check_pixels("data.augment.padding", self.padding)
        if self.mode not in ("zeros", "reflect"):
            raise UnknownError("data.augment.mode", self.mode, ("zeros", "reflect"))

    def __call__(self, images: Tensor, draws: Tensor) -> Tensor:
        pad = _pad_zeros if self.mode == "zeros" else _pad_reflect
        corner = (draws * (2 * self.padding + 1)).long()
        return _cut(pad(images, self.padding), corner, images.shape[2], images.shape[3])


@dataclass(frozen=True)
class Shift:
    """Move by -`pixels`…`pixels` in each direction, black comes in at the edge.

    Source: the jitter of Hinton, Vinyals, Dean, Distilling the knowledge in a neural network
    (2015), section 3, https://arxiv.org/abs/1503.02531
    """

    pixels: int = 2
    draws: ClassVar[int] = 2

    def __post_init__(self) -> None:
        _check_pixels("data.augment.pixels", self.pixels)

    def __call__(self, images: Tensor, draws: Tensor) -> Tensor:
        return RandomCrop(self.pixels)(images, draws)


@dataclass(frozen=True)
class HorizontalFlip:
    """Mirror left and right with probability `p`."""

    p: float = 0.5
    draws: ClassVar[int] = 1

    def __post_init__(self) -> None:
        if not 0 <= self.p <= 1:
            raise ConfigError("data.augment.p", self.p, "a probability, 0 to 1")

    def __call__(self, images: Tensor, draws: Tensor) -> Tensor:
        if images.dtype != torch.uint8:
            return torch.where((draws[:, 0] < self.p).view(-1, 1, 1, 1), images.flip(-1), images)
        # x ^ ((x ^ mirrored) & mask): torch.where with a broadcast mask takes 5 times as long
        mask = (draws[:, 0] < self.p).to(torch.uint8).mul_(255).view(-1, 1, 1, 1)
        return images.flip(-1).bitwise_xor_(images).bitwise_and_(mask).bitwise_xor_(images)


def of_images(settings: Mapping[str, Iterable[object]], shape: Sequence[int]) -> None:
    """ConfigError for what changes images alone where the inputs are others."""
    for key, ones in settings.items() if len(shape) != 3 else ():
        for one in ones:
            if one is not None and getattr(one, "of_images", True):
                raise ConfigError(f"data.{key}", repr(one), "null for data that has no images")


@dataclass(frozen=True)
class Affine:
    """Turn, scale and shear about the centre and shift, each uniformly at random; bilinear.

    Args:
        degrees: turned by up to so many either way.
        scale: enlarged or made smaller by up to this share.
        shear: horizontally, by up to this share of the height.
        pixels: shifted by up to so many in each direction.
    """

    degrees: float = 10.0
    scale: float = 0.1
    shear: float = 0.1
    pixels: float = 2.0
    draws: ClassVar[int] = 5

    def __post_init__(self) -> None:
        for name in ("degrees", "scale", "shear", "pixels"):
            nonnegative(f"data.augment.{name}", getattr(self, name))
        if self.scale >= 1:
            raise ConfigError("data.augment.scale", self.scale, "below 1")

    def __call__(self, images: Tensor, draws: Tensor) -> Tensor:
        angle, size, shear, *shift = (2 * draws - 1).double().unbind(1)
        angle, size = angle * self.degrees * math.pi / 180, 1 / (1 + size * self.scale)
        c, s, k = size * angle.cos(), size * angle.sin(), shear * self.shear
        height, width = images.shape[2:]
        x, y = (2 * self.pixels * d / n for d, n in zip(shift, (width, height), strict=True))
        rows = torch.stack([c, c * k - s, x, s, s * k + c, y], dim=1).view(-1, 2, 3)
        grid = functional.affine_grid(rows.float(), list(images.shape), align_corners=False)
        moved = functional.grid_sample(images.float(), grid, align_corners=False)
        return moved.round().to(images.dtype) if images.dtype == torch.uint8 else moved


def describe(augment: Iterable[object]) -> str:
    """A description of the augmentations for the fingerprint.

    Raises:
        ConfigError: a repr holds a memory address, so it would differ from run to run.
    """
    for one in augment:
        if " at 0x" in repr(one):
            allowed = "an object whose repr names its settings (a dataclass)"
            raise ConfigError("data.augment", repr(one), allowed)
    return repr(list(augment))


def _check_pixels(name: str, value: int) -> None:
    if not isinstance(value, int) or value < 0:
        raise ConfigError(name, value, "a whole number of pixels, 0 or more")


def _pad_zeros(images: Tensor, by: int) -> Tensor:
    return functional.pad(images, (by,) * 4)


def _pad_reflect(images: Tensor, by: int) -> Tensor:
    side = min(images.shape[2:])
    if by >= side:
        raise ConfigError("data.augment.padding", by, f"less than the image side {side} to reflect")
    for dim in (2, 3):  # functional.pad reflects no integers on GPUs, and casting takes longer
        first = images.narrow(dim, 1, by).flip(dim)
        last = images.narrow(dim, images.shape[dim] - 1 - by, by).flip(dim)
        images = torch.cat((first, images, last), dim)
    return images


def _cut(padded: Tensor, corner: Tensor, height: int, width: int) -> Tensor:
    """Crop each sample's window from (B,C,H',W') at its own corner (B,2).

    A window is, in memory, one run that starts at its corner: copying B·C runs is 5 to 30 times as
    fast as gathering B·C·H·W pixels. The strides then skip what lies between the rows.
    """
    b, c, h, w = padded.shape
    run = (height - 1) * w + width
    runs = padded.as_strided((padded.numel() - run + 1, run), (1, 1))
    plane = torch.arange(b * c, device=padded.device).view(b, c) * (h * w)
    start = plane + (corner[:, :1] * w + corner[:, 1:])
    cut = runs.index_select(0, start.view(-1))
    return cut.as_strided((b, c, height, width), (c * run, run, w, 1)).contiguous()
