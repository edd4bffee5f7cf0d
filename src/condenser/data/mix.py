"""Mixtures of two training samples, of images and targets alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np
import torch
from torch import Tensor

from condenser.errors import fraction, positive


class Mix(Protocol):
    """(images, partners, draws) → mixed images, and each image's own share of its target.

    Images are normalised float32 (B,C,H,W), draws float32 (B,draws) from [0, 1). ``repr`` names
    every setting.
    """

    draws: ClassVar[int]

    def __call__(self, images: Tensor, partners: Tensor, draws: Tensor) -> tuple[Tensor, Tensor]:
        """float32 (B,C,H,W) and (B,)."""


@dataclass(frozen=True)
class Mixup:
    """x ← λ·x + (1-λ)·x', y ← λ·y + (1-λ)·y', with λ ~ Beta(alpha, alpha).

    With probability ``p``, else the sample stays as it is.
    Source: Zhang et al., mixup: beyond empirical risk minimization (2018),
    https://arxiv.org/abs/1710.09412; there a batch shares one λ, here each sample has its own.
    """

    alpha: float = 0.2
    p: float = 1.0
    draws: ClassVar[int] = 2

    def __post_init__(self) -> None:
        positive("data.mix.alpha", self.alpha)
        fraction("data.mix.p", self.p)

    def __call__(self, images: Tensor, partners: Tensor, draws: Tensor) -> tuple[Tensor, Tensor]:
        share = shares(self.alpha, self.p, draws)
        return torch.lerp(partners, images, share.view(-1, 1, 1, 1)), share


@dataclass(frozen=True)
class CutMix:
    """A box of another image pasted in, y ← λ·y + (1-λ)·y' with λ the area that is left.

    The box has sides √(1-λ) of the image's, λ ~ Beta(alpha, alpha), its centre anywhere; with
    probability ``p``. Source: Yun et al., CutMix (2019), https://arxiv.org/abs/1905.04899; there a
    batch shares one box, here each sample has its own.
    """

    alpha: float = 1.0
    p: float = 1.0
    draws: ClassVar[int] = 4

    def __post_init__(self) -> None:
        positive("data.mix.alpha", self.alpha)
        fraction("data.mix.p", self.p)

    def __call__(self, images: Tensor, partners: Tensor, draws: Tensor) -> tuple[Tensor, Tensor]:
        share = shares(self.alpha, self.p, draws)
        inside = torch.ones(len(images), 1, 1, dtype=torch.bool, device=images.device)
        for axis, place in ((2, draws[:, 2]), (3, draws[:, 3])):
            side = images.shape[axis]
            half = (side * (1 - share).sqrt()).floor() / 2
            centre = (place * side).floor()
            at = torch.arange(side, device=images.device)
            low, high = (centre - half).view(-1, 1), (centre + half).view(-1, 1)
            along = (at >= low.round()) & (at < high.round())
            inside = inside & (along.unsqueeze(2) if axis == 2 else along.unsqueeze(1))
        mixed = torch.where(inside.unsqueeze(1), partners, images)
        return mixed, 1 - inside.float().mean((1, 2))


def shares(alpha: float, p: float, draws: Tensor) -> Tensor:
    """λ of each sample by the inverse of Beta's distribution; 1 where it stays as it is."""
    from scipy.special import betaincinv

    drawn = draws[:, 0].cpu().numpy().astype(np.float64)
    share = torch.from_numpy(betaincinv(alpha, alpha, drawn)).to(draws.device, torch.float32)
    return torch.where(draws[:, 1] < p, share, 1.0)


def blended(target: Tensor, partner: Tensor, share: Tensor, classes: int) -> Tensor:
    """share·y + (1-share)·y', float32 (B, classes); a class index becomes its row of 0 and 1."""
    if target.ndim == 1:
        target, partner = (
            torch.nn.functional.one_hot(one, classes).float() for one in (target, partner)
        )
    return torch.lerp(partner, target, share.view(-1, 1))
