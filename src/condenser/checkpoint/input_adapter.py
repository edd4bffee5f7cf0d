"""Adapt the data's images to a network trained on another size or normalisation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from condenser.compress.base import Operation

Normalisation = tuple[Sequence[float], Sequence[float]]  # mean and std of each channel


@dataclass(frozen=True)
class InputAdapter(Operation):
    """Forward pre-hook that resizes and renormalises the input: x ← (x·σ + μ - μ') / σ'.

    μ, σ (``given``) are the data's, μ', σ' (``own``) the network's, for each channel. In between
    the image is resized (bilinear, antialiased) and grey becomes colour or colour the mean of its
    channels, as ``input_shape`` asks.

    Attributes:
        input_shape: (channels, height, width) that the network was made for.
    """

    input_shape: Sequence[int]
    own: Sequence[Sequence[float]]
    given: Sequence[Sequence[float]]

    def apply(self, model: nn.Module) -> None:
        model.register_forward_pre_hook(self.see)

    def see(self, _: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
        return self.image(args[0]), *args[1:]

    def image(self, x: Tensor) -> Tensor:
        (channels, *size), (mean, std) = self.input_shape, self.given
        x = x * of_channels(std, x) + of_channels(mean, x)
        if x.shape[1] != channels:
            x = x.mean(1, keepdim=True).expand(-1, channels, -1, -1)
        if list(x.shape[2:]) != size:
            x = functional.interpolate(x, size, mode="bilinear", antialias=True)
        mean, std = self.own
        return (x - of_channels(mean, x)) / of_channels(std, x)


def adapter(
    input_shape: Sequence[int], own: Normalisation, given_shape: Sequence[int], given: Normalisation
) -> tuple[InputAdapter, ...]:
    """The adapter that a network needs for the data; None if it needs none."""
    known, shown = plain(own), plain(given)
    if tuple(input_shape) == tuple(given_shape) and known == shown:
        return ()
    return (InputAdapter(list(input_shape), known, shown),)


def plain(normalisation: Normalisation) -> list[list[float]]:
    return [list(map(float, values)) for values in normalisation]


def of_channels(values: Sequence[float], like: Tensor) -> Tensor:
    return torch.tensor(values, dtype=like.dtype, device=like.device).view(-1, 1, 1)
