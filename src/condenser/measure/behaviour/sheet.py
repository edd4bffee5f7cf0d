"""Images in a grid with two lines of text below each, as one PNG."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO

import torch
from PIL import Image, ImageDraw
from torch import Tensor

COLUMNS = 8
SIDE, TEXT = 96, 28  # pixels of a cell's image and of the lines below it
LETTERS = 16


def sheet(
    images: Sequence[Tensor] | Tensor, lines: Sequence[tuple[str, str]], columns: int = COLUMNS
) -> bytes:
    """A contact sheet of images (C, H, W), uint8 or float of any scale, with C of 1 or 3; of others
    the first channel."""
    rows = -(-len(images) // columns)
    page = Image.new("RGB", (SIDE * min(columns, len(images)), (SIDE + TEXT) * rows), "white")
    pen = ImageDraw.Draw(page)
    for i, (image, words) in enumerate(zip(images, lines, strict=True)):
        left, top = SIDE * (i % columns), (SIDE + TEXT) * (i // columns)
        page.paste(shown(image), (left + 2, top))
        for k, word in enumerate(words):
            pen.text((left + 2, top + SIDE - 2 + 13 * k), word[:LETTERS], fill="black")
    file = BytesIO()
    page.save(file, "PNG", optimize=True)
    return file.getvalue()


def shown(image: Tensor) -> Image.Image:
    """(C, H, W) as a square picture without smoothing."""
    if image.dtype != torch.uint8:
        low, high = image.min(), image.max()
        image = ((image - low) / (high - low).clamp(min=1e-12) * 255).to(torch.uint8)
    pixels = image.permute(1, 2, 0).numpy()
    picture = Image.fromarray(pixels if pixels.shape[2] == 3 else pixels[..., 0])
    scale = (SIDE - 4) / max(picture.size)
    size = [max(1, round(side * scale)) for side in picture.size]
    return picture.convert("RGB").resize((size[0], size[1]), Image.Resampling.NEAREST)
