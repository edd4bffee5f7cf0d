"""Read an image folder's layout: splits, classes and files, with errors for ambiguous ones."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple, NoReturn

from condenser.data.decode import READ, UNREAD
from condenser.errors import ConfigError, shown

PARTS = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation"),
    "test": ("test", "testing"),
}
WHOLE = "whole"  # the part of a folder that has no parts
Classes = dict[str, list[str]]  # its name → its files, relative to the root


class Kind(NamedTuple):
    """Which files count: what they are called, and their suffixes."""

    one: str
    several: str
    suffixes: tuple[str, ...]


IMAGES = Kind("image", "images", (*READ, *UNREAD))
AUDIO = Kind("audio file", "audio files", (".wav", ".flac", ".ogg", ".mp3", ".aiff", ".aif", ".au"))


class Tree:
    """The tree below a folder of files, read once; `asked` is the folder as given in the config.

    Hidden files and folders, and macOS's ``__MACOSX``, are passed over. Links are followed.
    """

    def __init__(self, root: Path, asked: object, kind: Kind = IMAGES) -> None:
        self.root, self.asked, self.kind = root, asked, kind
        several = f"a folder with a folder of {kind.several} for each class"
        self.layout = f"{several}, or train/ and test/ of such folders"
        self.seen: dict[tuple[int, int], Path] = {}

    def parts(self) -> dict[str, Classes]:
        """train, and val and test where they are there; or ``whole``.

        Raises:
            ConfigError: no such folder or not one of that layout, naming the one that was probably
                meant; a class without images, or that not every part has; a folder that is reached
                by two ways.
        """
        if not self.root.is_dir():
            self.refuse("a folder", "there is none of that name")
        named = self.named(self.root)
        self.enter(self.root)
        if "train" not in named:
            self.too_low()
            self.too_high()
        if not named:
            self.bare_parts()
            return {WHOLE: self.classes(self.root)}
        if "train" not in named:
            there = ", ".join(path.name for path in named.values())
            self.refuse("a folder with train/", f"there is only {there}")
        found = {part: self.classes(folder) for part, folder in named.items()}
        self.compare(found, named)
        return found

    def named(self, folder: Path) -> dict[str, Path]:
        """The folders of parts, upper case or lower: part → folder, train first."""
        found: dict[str, Path] = {}
        for part in PARTS:
            here = [child for child in visible(folder) if is_part(child, part)]
            if len(here) > 1:
                both = ", ".join(path.name for path in here)
                self.refuse(f"a folder with one {part} part", f"it has {both}")
            if here:
                found[part] = here[0]
        return found

    def classes(self, folder: Path) -> Classes:
        """Class → files, both in order of names."""
        if folder != self.root:
            self.enter(folder)
        found: Classes = {}
        for child in visible(folder):
            prefix = child.relative_to(self.root).as_posix()
            found.setdefault(self.name_of(child), []).extend(self.files(child, prefix))
        empty = [f"{folder.name}/{name}" for name, files in found.items() if not files]
        if empty:
            each = f"a folder of {self.kind.several} for each class"
            self.refuse(each, f"{listed(empty)}: no {self.kind.one} in it")
        if len(found) < 2:
            only = f"{folder.name} has {', '.join(found) or 'none'}"
            self.refuse(f"a folder with {self.kind.several} of two classes or more", only)
        return dict(sorted(found.items()))

    def name_of(self, folder: Path) -> str:
        """The name in NFC, however the file system encodes an é."""
        try:
            folder.name.encode()
        except UnicodeEncodeError:
            self.refuse("folders with names in UTF-8", f"{shown(folder.name)} is none")
        return unicodedata.normalize("NFC", folder.name)

    def files(self, folder: Path, prefix: str) -> Iterator[str]:
        """Every file of the kind below, recursively, with ``prefix`` before the names."""
        self.enter(folder)
        try:
            children = sorted(os.scandir(folder), key=lambda child: child.name)
        except OSError as error:
            self.refuse("a folder that may be read", f"{shown(folder)}: {error.strerror}")
        inner = {child.name for child in children if is_folder(child)}
        here = (child.name for child in children if self.counts(child.name))
        yield from (f"{prefix}/{name}" for name in here if name not in inner)
        for name in sorted(name for name in inner if not hidden(name)):
            yield from self.files(folder / name, f"{prefix}/{name}")

    def enter(self, folder: Path) -> None:
        """Register a folder: links may form cycles or mix the images of two classes."""
        real = folder.resolve()
        status = real.stat()
        before = self.seen.setdefault((status.st_dev, status.st_ino), folder)
        above = folder != self.root and self.root.resolve().is_relative_to(real)
        if above or before is not folder:
            other = "what it lies in" if above else shown(before.relative_to(self.root))
            same = f"{shown(folder.relative_to(self.root))} leads to {other}"
            self.refuse("a tree that reaches each folder once", same)

    def counts(self, name: str) -> bool:
        """Whether a file of this name is one of the kind."""
        return os.path.splitext(name)[1].lower() in self.kind.suffixes and not hidden(name)

    def compare(self, found: Mapping[str, Classes], named: Mapping[str, Path]) -> None:
        """ConfigError unless all parts have the same classes."""
        for part, classes in found.items():
            if differ := sorted(set(found["train"]) ^ set(classes)):
                both = f"the same classes in {named['train'].name} and {named[part].name}"
                raise ConfigError("data.root", self.asked, both, f"they differ in {listed(differ)}")

    def too_low(self) -> None:
        """ConfigError if the root is one split or one class of the folder probably meant."""
        root = self.root.resolve()
        if self.is_one_of_several(root):
            self.refuse(self.layout, f"did you mean {shown(root.parent)}?")
        if not list(visible(root)) and any(self.counts(path.name) for path in root.iterdir()):
            meant = root.parent.parent if self.is_one_of_several(root.parent) else root.parent
            self.refuse(
                self.layout, f"{self.kind.several} lie in it directly; did you mean {shown(meant)}?"
            )

    def is_one_of_several(self, folder: Path) -> bool:
        """Whether it is a split with another one beside it."""
        own = {part for part in PARTS if is_part(folder, part)}
        others = set(PARTS) - own
        beside = [child for child in visible(folder.parent) if child != folder]
        return bool(own) and any(is_part(child, part) for child in beside for part in others)

    def too_high(self) -> None:
        """ConfigError if the folder probably meant lies one or two levels below."""
        below = list(visible(self.root))
        deeper = [inner for child in below for inner in visible(child)]
        for candidates in (below, deeper):
            if meant := [shown(one) for one in candidates if has_train(one)]:
                self.refuse(self.layout, f"did you mean {' or '.join(meant[:3])}?")
        while len(below) == 1 and below[0].parent.parent in (self.root, self.root.parent):
            only, below = below[0], list(visible(below[0]))
            if len(below) > 1:
                self.refuse(self.layout, f"did you mean {shown(only)}?")

    def bare_parts(self) -> None:
        """ConfigError for splits whose images are not in class folders."""
        words = {word for part in PARTS.values() for word in part}
        found = [child.name for child in visible(self.root)]
        if found and {name.lower() for name in found} <= words:
            self.refuse(self.layout, f"{listed(found)}: no folders of classes in it")

    def refuse(self, allowed: str, hint: str = "") -> NoReturn:
        raise ConfigError("data.root", self.asked, allowed, hint)


def visible(folder: Path) -> Iterator[Path]:
    """Visible subfolders, sorted by name."""
    try:
        children = sorted(folder.iterdir())
    except OSError:
        return
    yield from (child for child in children if child.is_dir() and not hidden(child.name))


def is_folder(child: os.DirEntry[str]) -> bool:
    try:
        return child.is_dir()
    except OSError:  # a link to itself
        return False


def hidden(name: str) -> bool:
    return name.startswith(".") or name == "__MACOSX"


def is_part(folder: Path, part: str) -> bool:
    """By its name, and since there are folders in it: images of trains may lie in one, too."""
    return folder.name.lower() in PARTS[part] and any(True for _ in visible(folder))


def has_train(folder: Path) -> bool:
    return any(is_part(child, "train") for child in visible(folder))


def listed(words: list[str], most: int = 10) -> str:
    """The first few, and how many more there are."""
    more = [f"and {len(words) - most} more"] if len(words) > most else []
    return ", ".join([*map(shown, words[:most]), *more])
