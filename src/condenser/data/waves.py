"""Augmentations of waveforms, along the last axis; as those of images in ``augment``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from condenser.errors import ConfigError


@dataclass(frozen=True)
class TimeShift:
    """Move by -`samples`…`samples`; zeros come in where it has left.

    Source: as Warden, Speech Commands (2018), https://arxiv.org/abs/1804.03209, trains its networks
    """

    samples: int = 800
    draws: ClassVar[int] = 1
    of_images: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if not isinstance(self.samples, int) or self.samples < 0:
            raise ConfigError("data.augment.samples", self.samples, "a whole number, 0 or more")

    def __call__(self, waves: Tensor, draws: Tensor) -> Tensor:
        length = waves.shape[-1]
        by = (draws[:, :1] * (2 * self.samples + 1)).long() - self.samples
        place = torch.arange(length, device=waves.device) - by
        known = (place >= 0) & (place < length)
        flat = waves.reshape(len(waves), -1, length)
        place = place.clamp(0, length - 1).unsqueeze(1).expand_as(flat)
        return (flat.gather(2, place) * known.unsqueeze(1)).view_as(waves)


@dataclass(frozen=True)
class Noise:
    """Add white noise, `low` to `high` decibels below the waveform's own power.

    Silence stays silence.
    """

    low: float = 5.0
    high: float = 30.0
    draws: ClassVar[int] = 3
    of_images: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if not self.low <= self.high:
            raise ConfigError("data.augment.low", self.low, f"<= high ({self.high:g})")

    def __call__(self, waves: Tensor, draws: Tensor) -> Tensor:
        seeds = (draws[:, 1:].double() * 2**24).long().cpu() @ torch.tensor([2**24, 1])
        noise = torch.stack([drawn(waves[0].numel(), seed) for seed in seeds.tolist()])
        noise = noise.to(waves.device).view_as(waves)
        decibels = self.low + draws[:, 0] * (self.high - self.low)
        power = waves.flatten(1).square().mean(1) * 10 ** (-decibels / 10)
        return waves + noise * power.sqrt().view(-1, *[1] * (waves.ndim - 1))


def drawn(count: int, seed: int) -> Tensor:
    """Standard normal numbers (count,), a function of the seed."""
    return torch.randn(count, generator=torch.Generator().manual_seed(seed))
