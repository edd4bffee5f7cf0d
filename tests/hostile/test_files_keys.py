"""Damaged and odd image files and folders: each is read right, or refused by name."""
# ruff: noqa: E501 - a row a line

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from condenser.data import imagefolder
from condenser.data.decode import decode
from condenser.errors import CondenserError

Make = Callable[[Path], Any]
RED = Image.new("RGB", (4, 2))
RED.putpixel((0, 0), (255, 0, 0))  # the upper left corner; the rest is black


def saved(image: Image.Image, form: str = "PNG", **settings: Any) -> bytes:
    with BytesIO() as file:
        image.save(file, form, **settings)
        return file.getvalue()


def photo(form: str = "PNG", seed: int = 0) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    return saved(Image.fromarray(pixels), form)


def png(width: int, height: int, *chunks: tuple[bytes, bytes]) -> bytes:
    """One that says it is so large, and has these chunks."""
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    parts = [(b"IHDR", head), *chunks, (b"IDAT", zlib.compress(b"")), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in parts
    )


def turned(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return saved(RED, exif=exif)


def grey16(form: str, value: int = 0x8080, kind: str = "<u2") -> bytes:
    image = Image.fromarray(np.full((2, 4), value, np.uint16).astype(kind))
    return saved(image.convert("I") if form == "PPM" else image, form)


def tree(root: Path) -> Path:
    """train and test of two classes, three and two images each."""
    for number, place in enumerate(["train/cat", "train/dog", "test/cat", "test/dog"]):
        (root / place).mkdir(parents=True)
        for i in range(3 if place.startswith("train") else 2):
            (root / place / f"{i}.png").write_bytes(photo(seed=10 * number + i))
    return root


BAD_FILES: dict[str, tuple[bytes, str]] = {
    "empty.png": (b"", "an empty file"),
    "text.png": (b"no image\n", "no image that can be read"),
    "page.jpg": (b"<html><body>404</body></html>", "no image that can be read"),
    "zeros.jpg": (bytes(5000), "no image that can be read"),
    "half.png": (photo()[:300], "image file is truncated"),
    "half.jpg": (photo("JPEG")[:-150], "image file is truncated (… bytes not processed)"),
    "half.gif": (photo("GIF")[:900], "image file is truncated (… bytes not processed)"),
    "half.bmp": (photo("BMP")[:100], "image file is truncated (… bytes not processed)"),
    "half.tif": (photo("TIFF")[:300], "image file is truncated (… bytes not processed)"),
    "half.webp": (photo("WEBP")[:60], "…"),
    "script.png": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "no image that can be read"),
    "bomb.png": (png(50_000, 50_000), "Image size (2500000000 pixels) exceeds limit of …"),
    "large.png": (png(13_000, 13_000), "image file is truncated…"),
    "line.png": (saved(Image.new("L", (20_000, 1))), "20000×1 pixels, too long for data.source.resize=256"),
    "texts.png": (png(4, 4, (b"zTXt", b"a\0\0" + zlib.compress(bytes(1 << 24)))), "Decompressed data too large for …"),
    "cycle.gif": (saved(RED, "GIF", save_all=True, append_images=[Image.new("RGB", (4, 2), "red")]), "several images in one file"),
    "pages.tif": (saved(RED, "TIFF", save_all=True, append_images=[RED]), "several images in one file"),
    "float.tif": (saved(Image.new("F", (4, 4), 0.5), "TIFF"), "pixels of 32 bits, whose scale is not known: make it 8 or 16 bits"),
    "whole.tif": (saved(Image.new("I", (4, 4), 70_000), "TIFF"), "pixels of 32 bits, whose scale is not known: make it 8 or 16 bits"),
    "float.pfm": (saved(Image.new("F", (4, 4)), "PPM"), ".pfm is not read: make it a PNG or a JPEG"),
    "float.ppm": (saved(Image.new("F", (4, 4)), "PPM"), "pixels of 32 bits, whose scale is not known: make it 8 or 16 bits"),
    "phone.HEIC": (b"\0\0\0\x18ftypheic", ".heic is not read: make it a PNG or a JPEG"),
    "raw.dng": (photo("TIFF"), ".dng is not read: make it a PNG or a JPEG"),
    "drawing.svg": (b"<svg/>", ".svg is not read: make it a PNG or a JPEG"),
    "mask16.png": (saved(Image.new("I;16", (4, 4), 300), transparency=300), "grey of 9 to 16 bits of a rare kind: make it 8 or 16 bits, 0 black"),
    "noise.png": (b"\x89PNG\r\n\x1a\n" + bytes(range(256)), "…"),
    "tag.tif": (b"II*\0\xff\xff\xff\x7f", "…"),
}  # fmt: skip


def matches(said: str, pattern: str) -> bool:
    first, *rest = pattern.split("…")
    return said.startswith(first) and (said.endswith(rest[-1]) if rest else said == first)


@pytest.mark.parametrize("part", ["train", "test"])
@pytest.mark.parametrize("name", BAD_FILES)
def test_a_file_that_cannot_be_used_is_named_before_training(
    name: str, part: str, tmp_path: Path
) -> None:
    content, why = BAD_FILES[name]
    (tree(tmp_path) / part / "cat" / name).write_bytes(content)
    with pytest.raises(CondenserError) as error:
        imagefolder(tmp_path, num_workers=2)
    start = f"data.root={tmp_path}: 1 file is no image that can be used: {part}/cat/{name} ("
    assert matches(str(error.value), f"{start}{why})")
    assert "\n" not in str(error.value)


def test_all_bad_files_are_named_at_once_the_first_ten_of_them(tmp_path: Path) -> None:
    tree(tmp_path)
    for i in range(13):
        (tmp_path / f"{'train' if i < 3 else 'test'}/cat/bad{i:02}.png").write_bytes(b"no image")
    with pytest.raises(CondenserError) as error:
        imagefolder(tmp_path)
    names = [f"test/cat/bad{i:02}.png (no image that can be read)" for i in range(3, 13)]
    start = f"data.root={tmp_path}: 13 files are no images that can be used: "
    assert str(error.value) == f"{start}{', '.join(names)}, and 3 more"


def test_a_name_that_no_terminal_can_show_is_escaped(tmp_path: Path) -> None:
    name = os.fsdecode(b"a\n\xff.png")
    (tree(tmp_path) / "train/cat" / name).write_bytes(b"no image")
    with pytest.raises(CondenserError) as error:
        imagefolder(tmp_path)
    assert str(error.value).endswith(r"train/cat/a\n\udcff.png (no image that can be read)")


@pytest.mark.parametrize(
    ("content", "corner"),
    [
        (grey16("PNG"), 128),
        (grey16("PNG", 0xFFFF), 255),
        (grey16("PNG", 128), 0),
        (grey16("PNG", 129), 1),
        (grey16("TIFF"), 128),
        (grey16("TIFF", kind=">u2"), 128),
        (grey16("PPM"), 128),
        (grey16("JPEG2000"), 128),
        (saved(Image.new("1", (4, 2), 1)), 255),
        (saved(Image.new("L", (4, 2), 77)), 77),
        (saved(Image.new("LA", (4, 2), (77, 255))), 77),
        (saved(Image.new("LA", (4, 2), (77, 0))), 255),
        (saved(Image.new("L", (4, 2), 77), transparency=77), 255),
        (saved(Image.new("L", (4, 2), 77), transparency=78), 77),
        (saved(Image.new("RGBA", (4, 2), (0, 0, 0, 0))), 255),
        (saved(Image.new("RGBA", (4, 2), (0, 0, 0, 127))), 128),
        (saved(Image.new("PA", (4, 2)), "TIFF"), 255),
        (saved(RED.quantize(2), transparency=RED.quantize(2).getpixel((0, 0))), 255),
        (saved(RED), (255, 0, 0)),
        (saved(RED.quantize(2)), (255, 0, 0)),
        (saved(RED, "GIF"), (255, 0, 0)),
        (saved(Image.new("CMYK", (8, 8), (255, 0, 0, 0)), "TIFF"), (0, 255, 255)),
        (saved(Image.new("CMYK", (8, 8), (255, 0, 0, 0)), "JPEG"), (0, 255, 255)),
    ],
)
def test_every_depth_is_read_as_it_looks(content: bytes, corner: Any, tmp_path: Path) -> None:
    path = tmp_path / "image.png"
    path.write_bytes(content)
    colour = corner if isinstance(corner, tuple) else (corner,) * 3
    assert decode(path, "RGB").getpixel((0, 0)) == colour
    if isinstance(corner, int):
        assert decode(path, "L").getpixel((0, 0)) == corner


@pytest.mark.parametrize(
    ("orientation", "size", "corner"),
    [
        (1, (4, 2), (0, 0)),
        (2, (4, 2), (3, 0)),
        (3, (4, 2), (3, 1)),
        (4, (4, 2), (0, 1)),
        (5, (2, 4), (0, 0)),
        (6, (2, 4), (1, 0)),
        (7, (2, 4), (1, 3)),
        (8, (2, 4), (0, 3)),
        (9, (4, 2), (0, 0)),
    ],
)
@pytest.mark.parametrize("form", ["PNG", "TIFF"])
def test_images_are_turned_as_their_camera_was_held(
    form: str, orientation: int, size: tuple[int, int], corner: tuple[int, int], tmp_path: Path
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "image"
    path.write_bytes(saved(RED, form, exif=exif))
    image = decode(path, "RGB")
    red = [(x, y) for x in range(image.width) for y in range(image.height)]
    assert image.size == size
    assert [place for place in red if image.getpixel(place) == (255, 0, 0)] == [corner]


def test_damaged_exif_leaves_the_pixels(tmp_path: Path) -> None:
    path = tmp_path / "image.png"
    path.write_bytes(saved(RED, exif=b"Exif\0\0II*\0\xff\xff\xff\xff"))
    assert decode(path, "RGB").getpixel((0, 0)) == (255, 0, 0)


def link(name: str, to: str) -> Make:
    return lambda root: (root / name).symlink_to(root / to)


def move(name: str, to: str) -> Make:
    def make(root: Path) -> None:
        (root / to).parent.mkdir(parents=True, exist_ok=True)
        (root / name).rename(root / to)

    return make


def image(*names: str) -> Make:
    def make(root: Path) -> None:
        for number, name in enumerate(names):
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_bytes(photo(seed=99 + number))

    return make


LAYOUT = "a folder with a folder of images for each class, or train/ and test/ of such folders"
ONCE = "a tree that reaches each folder once"
EACH = "a folder of images for each class"
TWO = "a folder with images of two classes or more"
TREES: dict[str, tuple[list[Make], str, str]] = {  # what is done, the root, what is said of it
    "loop": ([link("train/cat/more", "train/cat")], "", f"{ONCE}; train/cat/more leads to train/cat"),
    "other class": ([link("train/cat/more", "train/dog")], "", f"{ONCE}; train/dog leads to train/cat/more"),
    "to the part": ([link("train/cat/more", "train")], "", f"{ONCE}; train/cat/more leads to train"),
    "to the root": ([link("train/cat/more", ".")], "", f"{ONCE}; train/cat/more leads to what it lies in"),
    "above": ([link("train/cat/more", "..")], "", f"{ONCE}; train/cat/more leads to what it lies in"),
    "the disk": ([link("train/cat/more", "/")], "", f"{ONCE}; train/cat/more leads to what it lies in"),
    "alias": ([link("val", "test")], "", f"{ONCE}; test leads to val"),
    "no class": ([move("test/cat", "cat")], "", f"{TWO}; test has dog"),
    "empty class": ([lambda root: (root / "test/cow").mkdir()], "", f"{EACH}; test/cow: no image in it"),
    "other files": ([move("test/cat/0.png", "test/cat/0.npy"), move("test/cat/1.png", "test/cat/1.txt")], "", f"{EACH}; test/cat: no image in it"),
    "class in test only": ([image("test/cow/1.png")], "", "the same classes in train and test; they differ in cow"),
    "class in train only": ([image("train/cow/1.png")], "", "the same classes in train and test; they differ in cow"),
    "class in val only": ([image("valid/cow/1.png", "valid/cat/1.png", "valid/dog/1.png")], "", "the same classes in train and valid; they differ in cow"),
    "two trains": ([image("Training/cat/1.png")], "", "a folder with one train part; it has Training, train"),
    "two vals": ([image("val/cat/1.png", "valid/cat/1.png")], "", "a folder with one val part; it has val, valid"),
    "no train": ([move("train", "elsewhere/x")], "", "a folder with train/; there is only test"),
    "bare parts": ([image("bare/train/1.png", "bare/test/1.png")], "bare", f"{LAYOUT}; test, train: no folders of classes in it"),
    "a part": ([], "train", f"{LAYOUT}; did you mean {{root}}?"),
    "another part": ([], "test", f"{LAYOUT}; did you mean {{root}}?"),
    "a class": ([], "train/cat", f"{LAYOUT}; images lie in it directly; did you mean {{root}}?"),
    "a class of a flat set": ([image("flat/a/1.png", "flat/b/1.png")], "flat/a", f"{LAYOUT}; images lie in it directly; did you mean {{root}}/flat?"),
    "one too high": ([move("train", "set/train"), move("test", "set/test")], "", f"{LAYOUT}; did you mean {{root}}/set?"),
    "two too high": ([move("train", "a/set/train"), move("test", "a/set/test")], "", f"{LAYOUT}; did you mean {{root}}/a/set?"),
    "of several sets": ([image("x/one/train/cat/1.png", "x/two/train/cat/1.png")], "x", f"{LAYOUT}; did you mean {{root}}/x/one or {{root}}/x/two?"),
    "flat, one too high": ([image("x/flat/a/1.png", "x/flat/b/1.png")], "x", f"{LAYOUT}; did you mean {{root}}/x/flat?"),
    "flat, two too high": ([image("x/y/flat/a/1.png", "x/y/flat/b/1.png")], "x", f"{LAYOUT}; did you mean {{root}}/x/y/flat?"),
    "one class": ([image("x/a/1.png")], "x", f"{TWO}; x has a"),
    "nothing": ([lambda root: (root / "x").mkdir()], "x", f"{TWO}; x has none"),
    "no name": ([lambda root: (root / "train" / os.fsdecode(b"\xff")).mkdir()], "", r"folders with names in UTF-8; \udcff is none"),
}  # fmt: skip


@pytest.mark.parametrize("name", TREES)
def test_a_folder_that_cannot_be_meant_is_named(name: str, tmp_path: Path) -> None:
    changes, place, says = TREES[name]
    tree(tmp_path)
    for change in changes:
        change(tmp_path)
    root = tmp_path / place if place else tmp_path
    with pytest.raises(CondenserError) as error:
        imagefolder(root)
    assert str(error.value) == f"data.root={root}: must be {says.format(root=tmp_path)}"


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda path: path.symlink_to("nothing"), "No such file or directory"),
        (lambda path: path.symlink_to(path.name), "Too many levels of symbolic links"),
        (os.mkfifo, "no plain file"),
        (lambda path: (path.write_bytes(photo()), path.chmod(0)), "may not be read"),
    ],
    ids=["dangling", "circle", "pipe", "closed"],
)
def test_what_is_no_file_is_named(make: Make, why: str, tmp_path: Path) -> None:
    path = tree(tmp_path) / "train/cat/odd.png"
    make(path)
    if why == "may not be read" and os.access(path, os.R_OK):
        pytest.skip("everything may be read by root")
    with pytest.raises(CondenserError) as error:
        imagefolder(tmp_path)
    assert str(error.value).endswith(f"used: train/cat/odd.png ({why})")
