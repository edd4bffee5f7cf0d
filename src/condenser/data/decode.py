"""Decode an image file: EXIF orientation applied, 8 bits per channel, white where transparent."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from condenser.data.preparation import prepared
from condenser.errors import DamagedError

if TYPE_CHECKING:
    from PIL.Image import Image

# Pillow knows more formats, some of which start other programs
FORMATS = ("AVIF", "BMP", "DIB", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")
READ = (
    *(".avif", ".bmp", ".dib", ".gif", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg", ".pbm", ".pgm"),
    *(".png", ".pnm", ".ppm", ".tif", ".tiff", ".webp"),
)
# rejected by name: silently skipped, the set would be smaller than it looks
UNREAD = (
    *(".arw", ".cr2", ".cr3", ".dng", ".exr", ".heic", ".heif", ".hdr", ".jxl", ".nef", ".orf"),
    *(".pfm", ".psd", ".svg"),
)
LARGEST = 178_956_970  # pixels, which take half a gigabyte; Pillow refuses more


def decode(path: Path, mode: str) -> Image:
    """The image of a file in ``mode`` RGB or L: DamagedError as ``decoded``."""
    try:
        check_file(path)
    except OSError as error:
        raise DamagedError(error.strerror or one_line(error)) from None
    return decoded(path, mode)


def decoded(file: Path | BinaryIO, mode: str) -> Image:
    """The image in ``mode`` RGB or L.

    It is turned as its EXIF orientation asks; 16 bits become round(v / 257); what is transparent
    shows white.

    Raises:
        DamagedError: why it cannot be read, the path left out: it is no image, cut short, more
            than one, too large, or of a kind whose pixels have no known scale.
    """
    from PIL import Image, UnidentifiedImageError

    warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
    Image.init()
    try:
        with Image.open(file, formats=FORMATS) as image:
            check_size(image)
            image.load()
            return prepared(image, mode)
    except DamagedError:
        raise
    except UnidentifiedImageError:
        raise DamagedError("no image that can be read") from None
    except OSError as error:
        raise DamagedError(error.strerror or one_line(error)) from None
    except Exception as error:  # what a decoder raises for hostile bytes is of every kind
        raise DamagedError(one_line(error)) from None


def check_file(path: Path) -> None:
    """DamagedError for anything but a regular image file: opening a pipe would block for ever."""
    size, suffix = path.stat().st_size, path.suffix.lower()
    if suffix in UNREAD:
        raise DamagedError(f"{suffix} is not read: make it a PNG or a JPEG")
    if not path.is_file():
        raise DamagedError("no plain file")
    if not os.access(path, os.R_OK):
        raise DamagedError("may not be read")
    if size == 0:
        raise DamagedError("an empty file")


def check_size(image: Image) -> None:
    if getattr(image, "is_animated", False) and image.format != "MPO":  # a camera's has a preview
        raise DamagedError("several images in one file")
    if image.width * image.height > LARGEST:
        raise DamagedError(f"{image.width}×{image.height} pixels, more than {LARGEST:,}")


def one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
