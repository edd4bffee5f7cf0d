"""The 15 common corruptions at five severities, of images of any size, as pure functions.

Source: Hendrycks, Dietterich, "Benchmarking Neural Network Robustness to Common Corruptions and
Perturbations", ICLR 2019, https://arxiv.org/abs/1903.12261; constants of its CIFAR-10-C and
ImageNet-C, https://github.com/hendrycks/robustness
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from condenser.data.counter_rng import uniform
from condenser.errors import ConfigError, UnknownError
from condenser.measure.behaviour.corruptions import blur, digital, noise, weather
from condenser.measure.behaviour.corruptions.tables import constants

Draw = Callable[[int, int], Tensor]
"""(which stream of numbers, how many an image) → uniform in [0, 1), (N, count)."""

CORRUPTIONS: dict[str, Callable[[Tensor, Draw, Any, float], Tensor]] = {
    "gaussian_noise": noise.gaussian,
    "shot_noise": noise.shot,
    "impulse_noise": noise.impulse,
    "defocus_blur": blur.defocus,
    "glass_blur": blur.glass,
    "motion_blur": blur.motion,
    "zoom_blur": blur.zoom,
    "snow": weather.snow,
    "frost": weather.frost,
    "fog": weather.fog,
    "brightness": digital.brightness,
    "contrast": digital.contrast,
    "elastic_transform": digital.elastic,
    "pixelate": digital.pixelate,
    "jpeg_compression": digital.jpeg,
}
SEVERITIES = (1, 2, 3, 4, 5)
STREAMS = 16  # of one corruption
AT_ONCE = 1 << 20  # values


def corrupted(name: str, severity: int, images: Tensor, index: Tensor, seed: int = 0) -> Tensor:
    """Images with one corruption: uint8 (N, C, H, W) → the same; severity 0 is the identity.

    What becomes of an image depends on it, its index, ``seed``, name and severity alone. Lengths
    are in proportion to the side, so that of images of few pixels weak blur may change nothing.

    Args:
        images: uint8, C of 1 or 3.
        index: int64 (N,), of the images in their set.

    Raises:
        UnknownError: no such corruption.
        ConfigError: a severity that is not 0 to 5, or images that are not pixels.
    """
    if name not in CORRUPTIONS:
        raise UnknownError("corruption", name, CORRUPTIONS)
    if severity not in (0, *SEVERITIES):
        raise ConfigError("severity", severity, "0 to 5")
    if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[1] not in (1, 3):
        allowed = "torch.uint8 (N, C, H, W) with C of 1 or 3"
        raise ConfigError("images", f"{images.dtype} {tuple(images.shape)}", allowed)
    if not severity:
        return images
    known, unit = constants(name, severity, min(images.shape[2:]))
    first = STREAMS * [*CORRUPTIONS].index(name)
    size = max(1, AT_ONCE // images[0].numel())
    found = []
    for part, own in zip(images.split(size), index.split(size), strict=True):

        def draw(stream: int, count: int, own: Tensor = own) -> Tensor:
            return uniform(seed, own, severity, first + stream, count)

        found.append(pixels(CORRUPTIONS[name](part.float() / 255, draw, known, unit)))
    return torch.cat(found)


def pixels(images: Tensor) -> Tensor:
    """[0, 1] → uint8; what is outside is clipped."""
    return (images.clamp(0, 1) * 255).round().to(torch.uint8)
