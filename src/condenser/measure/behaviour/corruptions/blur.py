"""Blur of lenses and of motion. Images are float32 (N, C, H, W) in [0, 1]."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

Draw = Callable[[int, int], Tensor]


def bell(std: float, radius: int) -> Tensor:
    """A normal density at -radius … radius, of sum 1."""
    if std <= 0:
        return F.one_hot(torch.tensor(radius), 2 * radius + 1).float()
    place = torch.arange(-radius, radius + 1, dtype=torch.float64)
    weights = (-(place**2) / (2 * std**2)).exp()
    return (weights / weights.sum()).float()


def filtered(x: Tensor, kernel: Tensor, mode: str = "replicate") -> Tensor:
    """Each channel correlated with a kernel (h, w) of odd sides; beyond the border by ``mode``."""
    down, across = (side // 2 for side in kernel.shape)
    if mode == "reflect" and (down >= x.shape[2] or across >= x.shape[3]):
        mode = "replicate"
    padded, found = F.pad(x, (across, across, down, down), mode=mode), torch.zeros_like(x)
    rows, columns = x.shape[2:]
    for top, left in kernel.nonzero().tolist():  # conv2d's sums depend on the size of the batch
        found += kernel[top, left] * padded[:, :, top : top + rows, left : left + columns]
    return found


def smoothed(x: Tensor, std: float, truncate: float = 4) -> Tensor:
    """Gaussian blur; the border's pixels go on beyond it."""
    line = bell(std, int(truncate * std + 0.5))
    return filtered(filtered(x, line[:, None]), line[None])


def defocus(x: Tensor, draw: Draw, lens: tuple[float, float], unit: float) -> Tensor:
    """The mean over a disk, its edge smoothed."""
    radius, edge = lens[0] * unit, lens[1]
    soft = 1 if lens[0] <= 8 else 2
    reach = math.floor(radius) + soft
    place = torch.arange(-reach, reach + 1)
    disk = ((place[:, None] ** 2 + place**2) <= radius**2).float()
    line = F.pad(bell(edge, soft), (reach - soft,) * 2)
    disk = F.conv2d(
        F.pad(disk / disk.sum(), (reach,) * 4)[None, None], torch.outer(line, line)[None, None]
    )[0, 0]
    return filtered(x, disk, "reflect")


def glass(x: Tensor, draw: Draw, pane: tuple[float, int, int], unit: float) -> Tensor:
    """Pixels swapped with neighbours at most ``far`` away, one after the other; smoothed before
    and after."""
    std, times = pane[0] * unit, pane[2]
    far = max(1, round(pane[1] * unit))
    x = smoothed(x, std).clone(memory_format=torch.contiguous_format)
    n, _, height, width = x.shape
    every = torch.arange(n)
    rows, columns = range(height - far - 1, far, -1), range(width - far - 1, far, -1)
    for time in range(times):
        moves = draw(time, 2 * len(rows) * len(columns)).mul(2 * far).floor().long() - far
        steps = iter(moves.view(n, -1, 2).unbind(1))
        for h in rows:
            for w in columns:
                down, across = next(steps).unbind(1)
                here = x[:, :, h, w].clone()
                x[:, :, h, w] = x[every, :, h + down, w + across]
                x[every, :, h + down, w + across] = here
    return smoothed(x, std)


def motion(x: Tensor, draw: Draw, shake: tuple[float, float], unit: float) -> Tensor:
    """Smeared to one side along a line within 45° of the horizontal."""
    angle = (draw(0, 1)[:, 0] - 0.5) * (math.pi / 2)
    return smeared(x, angle, shake[0] * unit, shake[1] * unit)


def smeared(x: Tensor, angle: Tensor, radius: float, std: float) -> Tensor:
    """Σ_i w_i · x moved by i pixels along each image's angle (N,), i = 0 … 2·radius; w is half a
    normal density. The border's pixels go on beyond it."""
    width = 2 * round(radius) + 1
    half = bell(std, width - 1)[width - 1 :]
    found = torch.zeros_like(x)
    n, _, rows, columns = x.shape
    for i, weight in enumerate((half / half.sum()).tolist()):
        down, across = ((i * f(angle)).round().long()[:, None] for f in (torch.sin, torch.cos))
        own = (torch.arange(rows) + down).clamp(0, rows - 1)[:, :, None]
        there = (torch.arange(columns) + across).clamp(0, columns - 1)[:, None]
        found += weight * x[torch.arange(n)[:, None, None], :, own, there].permute(0, 3, 1, 2)
    return found


def zoom(x: Tensor, draw: Draw, lens: tuple[float, float], unit: float) -> Tensor:
    """The mean of the image and of its enlargements by factors from 1 to below an end."""
    end, step = lens
    factors = [1 + step * i for i in range(round((end - 1) / step))]
    return (x + sum(enlarged(x, factor) for factor in factors)) / (len(factors) + 1)


def enlarged(x: Tensor, factor: float) -> Tensor:
    """The middle of the image, bilinearly enlarged to its size."""
    sides: Any = x.shape[2:]
    inner = [math.ceil(side / factor) for side in sides]
    top, left = ((side - own) // 2 for side, own in zip(sides, inner, strict=True))
    crop = x[:, :, top : top + inner[0], left : left + inner[1]]
    size = [max(side, round(own * factor)) for side, own in zip(sides, inner, strict=True)]
    large = F.interpolate(crop, size, mode="bilinear", align_corners=True)
    down, across = ((own - side) // 2 for side, own in zip(sides, size, strict=True))
    return large[:, :, down : down + sides[0], across : across + sides[1]]
