"""Decoded images of a set in one memory-mapped file, so that an epoch decodes nothing."""

from __future__ import annotations

import hashlib
import os
import zlib
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache, partial
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from condenser.data.contents import Picture, cache_folder
from condenser.data.decode import decode
from condenser.errors import DamagedError, shown
from condenser.files import drafts, read_json, sha256, write_json

if TYPE_CHECKING:
    from PIL.Image import Image

FORMAT = 1
CHANNELS = {"RGB": 3, "L": 1}
Place = tuple[int, int, int, int]  # offset, width, height, crc32 of the pixels


@dataclass(frozen=True)
class Pixels:
    """The file, and where in it each image is, by sha256 of its own file."""

    path: Path
    mode: str
    places: Mapping[str, Place]

    def image(self, content: str) -> Image | None:
        """The decoded image; None where its pixels are not what was written."""
        from PIL import Image

        offset, width, height, check = self.places[content]
        size = width * height * CHANNELS[self.mode]
        try:
            raw = mapped(self.path)[offset : offset + size]
        except (OSError, ValueError):
            return None
        if raw.size != size or zlib.crc32(raw.data) != check:
            return None
        shape = (height, width, 3) if self.mode == "RGB" else (height, width)
        return Image.fromarray(raw.reshape(shape))


@lru_cache(8)
def mapped(path: Path) -> np.ndarray:
    return np.memmap(path, np.uint8, "r")


def pixels_of(
    root: Path, pictures: Mapping[str, Picture], mode: str, workers: int, limit: int
) -> Pixels | None:
    """The set's decoded images, from the user's cache folder or decoded now.

    None where they take more than ``limit`` bytes or cannot be written; older sets go, so that all
    of them together stay within it.
    """
    files = {picture.sha256: path for path, picture in pictures.items()}
    sizes = {p.sha256: p.width * p.height * CHANNELS[mode] for p in pictures.values()}
    total = sum(sizes.values())
    if not 0 < total <= limit:
        return None
    known = repr((FORMAT, metadata.version("pillow"), mode, sorted(files)))
    path = cache_folder() / f"{hashlib.sha256(known.encode()).hexdigest()[:16]}.pixels"
    index = path.with_suffix(".places.json")
    try:
        if not path.is_file() or path.stat().st_size != total:
            make_room(path.parent, limit - total)
            read = partial(decoded, root, files, mode)
            fill(path, index, read, sorted(files), workers)
        os.utime(path)
        places = {sha: tuple(place) for sha, place in read_json(index).items()}
    except (OSError, DamagedError):
        return None
    return Pixels(path, mode, places) if set(places) == set(files) else None  # type: ignore[arg-type]


def decoded(root: Path, files: Mapping[str, str], mode: str, content: str) -> Image:
    """DamagedError where the file is no longer what was examined."""
    path = root / files[content]
    image = decode(path, mode)
    if sha256(path) != content:
        raise DamagedError(f"{shown(path)} changed while it was read")
    return image


def fill(
    path: Path, index: Path, read: Callable[[str], Image], names: list[str], workers: int
) -> None:
    """Write every image's pixels one after the other, and where they are."""
    places, offset = {}, 0
    with drafts(path) as (draft,), ThreadPoolExecutor(max(1, workers)) as pool:
        with open(draft, "wb") as file:
            for start in range(0, len(names), 64):  # bounds what is decoded and not yet written
                part = names[start : start + 64]
                for name, image in zip(part, pool.map(read, part), strict=True):
                    raw = image.tobytes()
                    file.write(raw)
                    places[name] = (offset, image.width, image.height, zlib.crc32(raw))
                    offset += len(raw)
        write_json(index, places)


def make_room(folder: Path, most: int) -> None:
    """Delete the sets that were not used for longest until the rest take at most ``most`` bytes."""
    found = []
    for path in folder.glob("*.pixels"):
        with suppress(OSError):
            found.append((path.stat().st_mtime, path.stat().st_size, path))
    total = sum(size for _, size, _ in found)
    for _, size, path in sorted(found):
        if total <= most:
            break
        with suppress(OSError):
            path.unlink()
            path.with_suffix(".places.json").unlink(missing_ok=True)
        total -= size
