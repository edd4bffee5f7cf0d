"""Snow, frost and fog. Images are float32 (N, C, H, W) in [0, 1]."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from condenser.measure.behaviour.corruptions.blur import enlarged, smeared
from condenser.measure.behaviour.corruptions.noise import normal

Draw = Callable[[int, int], Tensor]
LUMA = (0.299, 0.587, 0.114)
FROST_DECAY = 1.7  # of its texture from one scale to the next
FROST_MEAN, FROST_STD = 0.6, 0.25  # of the brightness of the authors' photographs, about


def snow(x: Tensor, draw: Draw, fall: tuple[float, ...], unit: float) -> Tensor:
    """Flakes, smeared as they fall, over a whitened image."""
    mean, std, zoom, least, radius, blur, kept = fall
    n, channels, height, width = x.shape
    layer = mean + std * normal(draw(0, height * width)).view(n, 1, height, width)
    layer = enlarged(layer, zoom)
    layer = torch.where(layer < least, 0, layer).clamp(0, 1)
    angle = -math.pi / 4 - draw(1, 1)[:, 0] * math.pi / 2
    layer = smeared(layer, angle, radius * unit, blur * unit)
    luma = torch.tensor(LUMA).view(3, 1, 1) if channels == 3 else 1.0
    grey = (x * luma).sum(1, keepdim=True)
    white = kept * x + (1 - kept) * torch.maximum(x, 1.5 * grey + 0.5)
    return white + layer + layer.rot90(2, (2, 3))


def frost(x: Tensor, draw: Draw, ice: tuple[float, float], unit: float) -> Tensor:
    """a·x + b·ice. The authors lay photographs over it; here it is ridges of fractal noise with
    about their brightness, so that numbers of frost alone cannot be compared with theirs."""
    field = 2 * fractal(x, draw, FROST_DECAY) - 1
    ridges = 1 - field.abs()
    mean, std = ridges.mean((1, 2, 3), True), ridges.std((1, 2, 3), keepdim=True)
    texture = FROST_MEAN + FROST_STD * (ridges - mean) / std.clamp(min=1e-6)
    return ice[0] * x + ice[1] * texture.clamp(0, 1)


def fog(x: Tensor, draw: Draw, cloud: tuple[float, float], unit: float) -> Tensor:
    """(x + c·fractal) · max x / (max x + c)."""
    thick, decay = cloud
    most = x.amax((1, 2, 3), keepdim=True)
    return (x + thick * fractal(x, draw, decay)) * most / (most + thick)


def fractal(x: Tensor, draw: Draw, decay: float) -> Tensor:
    """A height map in [0, 1] for each image: (N, 1, H, W), by midpoint displacement on a torus.

    From one scale to the next displacements shrink by decay², as the authors' do.

    Source: Fournier, Fussell, Carpenter, "Computer Rendering of Stochastic Models", 1982,
    https://doi.org/10.1145/358523.358553
    """
    n, _, height, width = x.shape
    side = 1 << max(1, (max(height, width) - 1).bit_length())
    grid, reach, stream = torch.zeros(n, side, side), 1.0, 0
    step = side
    while step >= 2:
        half = step // 2
        corners = grid[:, ::step, ::step]
        rows = corners + corners.roll(-1, 1)
        grid[:, half::step, half::step] = displaced(rows + rows.roll(-1, 2), draw, stream, reach)
        middles = grid[:, half::step, half::step]
        up = corners + corners.roll(-1, 2) + middles + middles.roll(1, 1)
        left = corners + corners.roll(-1, 1) + middles + middles.roll(1, 2)
        grid[:, ::step, half::step] = displaced(up, draw, stream + 1, reach)
        grid[:, half::step, ::step] = displaced(left, draw, stream + 2, reach)
        step, reach, stream = half, reach / decay**2, stream + 3
    low, high = grid.amin((1, 2), keepdim=True), grid.amax((1, 2), keepdim=True)
    return ((grid - low) / (high - low).clamp(min=1e-12))[:, None, :height, :width]


def displaced(sums: Tensor, draw: Draw, stream: int, reach: float) -> Tensor:
    """The mean of four, moved by up to ``reach`` either way."""
    return sums / 4 + reach * (2 * draw(stream, sums[0].numel()).view_as(sums) - 1)
