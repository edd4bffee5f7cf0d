"""What becomes of an image file before it is normalised; Pillow and numpy alone.

Its text is part of the predict.py of every bundle, so that a deployed file sees what training saw.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image

BITS, POLARITY = 258, 262  # tags of TIFF


def prepared(image: Image, mode: str) -> Image:
    """Upright, in 8 bits, white where it is transparent."""
    return flat(eight_bits(upright(image)), mode)


def upright(image: Image) -> Image:
    """Turned as its EXIF orientation asks."""
    from PIL.Image import Transpose as T

    try:
        orientation = image.getexif().get(0x0112, 1)
    except Exception:  # damaged, as EXIF often is: the pixels are whole
        return image
    turns = [T.FLIP_LEFT_RIGHT, T.ROTATE_180, T.FLIP_TOP_BOTTOM, T.TRANSPOSE]
    turns += [T.ROTATE_270, T.TRANSVERSE, T.ROTATE_90]
    return image.transpose(turns[orientation - 2]) if orientation in range(2, 9) else image


def eight_bits(image: Image) -> Image:
    """Reduce 16-bit grey to 8 bits; other modes already have 8 bits per channel in Pillow."""
    import numpy as np
    from PIL import Image

    if image.mode == "F" or (image.mode == "I" and image.format not in ("PNG", "PPM")):
        raise ValueError("pixels of 32 bits, whose scale is not known: make it 8 or 16 bits")
    if not image.mode.startswith("I"):
        return image
    tags = getattr(image, "tag_v2", {BITS: (16,), POLARITY: 1})
    if tags.get(BITS) != (16,) or tags.get(POLARITY) != 1 or "transparency" in image.info:
        raise ValueError("grey of 9 to 16 bits of a rare kind: make it 8 or 16 bits, 0 black")
    pixels = np.asarray(image).astype(np.uint32)
    return Image.fromarray(((pixels * 255 + 32767) // 65535).astype(np.uint8))


def flat(image: Image, mode: str) -> Image:
    """In ``mode`` RGB or L, on white."""
    from PIL import Image

    if not image.has_transparency_data:
        return image.convert(mode)
    white = Image.new("RGBA", image.size, "white")
    white.alpha_composite(image.convert("RGBA"))
    return white.convert(mode)


def middle(image: Image, resize: int, size: int) -> Image:
    """``resize`` pixels on the shorter side, bilinear, then the middle ``size``×``size``."""
    from PIL.Image import Resampling

    short, long = sorted(image.size)
    sides = resize, int(resize * long / short)
    width, height = sides if image.width <= image.height else sides[::-1]
    if (width, height) != image.size:
        image = image.resize((width, height), Resampling.BILINEAR)
    left, top = (round((side - size) / 2.0) for side in image.size)
    return image.crop((left, top, left + size, top + size))
