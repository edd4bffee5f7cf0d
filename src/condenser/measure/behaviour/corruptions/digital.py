"""Light, contrast, warping and coding. Images are float32 (N, C, H, W) in [0, 1]."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from condenser.measure.behaviour.corruptions.blur import bell

Draw = Callable[[int, int], Tensor]


def brightness(x: Tensor, draw: Draw, more: float, unit: float) -> Tensor:
    """The value of HSV raised; hue and saturation stay."""
    value = x.amax(1, keepdim=True)
    bright = (value + more).clamp(max=1)
    return torch.where(value > 0, x * bright / value.clamp(min=1e-12), bright)


def contrast(x: Tensor, draw: Draw, left: float, unit: float) -> Tensor:
    """Differences to each channel's mean shrunk."""
    mean = x.mean((2, 3), keepdim=True)
    return mean + left * (x - mean)


def elastic(x: Tensor, draw: Draw, rubber: tuple[float, float, float], unit: float) -> Tensor:
    """An affine map that moves three points of the middle at random, then smooth displacements.
    Lengths are parts of the side."""
    side = min(x.shape[2:])
    reach, smooth, moved = (part * side for part in rubber)
    x = affine(x, (2 * draw(0, 6) - 1) * moved)
    if not reach:
        return x
    n, _, height, width = x.shape
    fields = [2 * draw(i, height * width).view(n, 1, height, width) - 1 for i in (1, 2)]
    blurs = mirrored(height, smooth), mirrored(width, smooth).T
    across, down = (reach * (blurs[0] @ field @ blurs[1])[:, 0] for field in fields)
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return sampled(x, columns + across, rows + down)


def mirrored(side: int, std: float, truncate: float = 3) -> Tensor:
    """Gaussian blur of a line that is mirrored at its ends, as a matrix (side, side)."""
    radius = int(truncate * std + 0.5)
    place = (torch.arange(side)[:, None] + torch.arange(-radius, radius + 1)) % (2 * side)
    there = torch.minimum(place, 2 * side - 1 - place)
    return torch.zeros(side, side).scatter_add(1, there, bell(std, radius).expand(side, -1))


def affine(x: Tensor, moves: Tensor) -> Tensor:
    """The map that takes three points of the middle to points ``moves`` (N, 6) away."""
    n, _, height, width = x.shape
    centre, third = np.array([width, height]) // 2, min(height, width) // 3
    points = torch.tensor(centre + third * np.array([[1, 1], [1, -1], [-1, -1]]))
    before = F.pad(points.double(), (0, 1), value=1).expand(n, 3, 3)
    after = F.pad(points + moves.view(n, 3, 2).double(), (0, 1), value=1)
    back = torch.linalg.solve(after, before)  # row vectors: where to, times this, is where from
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    grid = torch.stack([columns, rows, torch.ones_like(rows)], -1).double()
    there = torch.einsum("hwi,nij->nhwj", grid, back)
    return sampled(x, there[..., 0], there[..., 1])


def sampled(x: Tensor, columns: Tensor, rows: Tensor) -> Tensor:
    """Bilinear at these places in pixels, mirrored at the border: (N, H, W) each."""
    height, width = x.shape[2:]
    grid = torch.stack([2 * columns / max(width - 1, 1), 2 * rows / max(height - 1, 1)], -1) - 1
    mode = {"padding_mode": "reflection", "align_corners": True}
    return F.grid_sample(x, grid.float(), **mode)  # type: ignore[arg-type]


def pixelate(x: Tensor, draw: Draw, left: float, unit: float) -> Tensor:
    """Shrunk to that part of its sides and enlarged again, each by boxes."""
    height, width = x.shape[2:]
    small = (max(1, int(width * left)), max(1, int(height * left)))

    def coarse(image: Image.Image) -> Image.Image:
        box = Image.Resampling.BOX
        return image.resize(small, box).resize((width, height), box)

    return each(x, coarse)


def jpeg(x: Tensor, draw: Draw, quality: int, unit: float) -> Tensor:
    """Coded and decoded."""

    def coded(image: Image.Image) -> Image.Image:
        file = BytesIO()
        image.save(file, "JPEG", quality=quality)
        return Image.open(file)

    return each(x, coded)


def each(x: Tensor, change: Callable[[Image.Image], Image.Image]) -> Tensor:
    """A change of every image by Pillow."""
    shown = (x * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
    grey = shown.shape[3] == 1
    images = [Image.fromarray(one[..., 0] if grey else one) for one in shown]
    found = np.stack([np.asarray(change(image)) for image in images])
    return torch.from_numpy(found.reshape(shown.shape)).permute(0, 3, 1, 2) / 255
