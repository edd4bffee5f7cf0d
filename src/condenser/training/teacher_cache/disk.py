"""Teacher cache on disk: a manifest and one .npy per array."""

from __future__ import annotations

import json
import os
import shutil
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch
from filelock import FileLock
from numpy.lib.format import open_memmap
from torch import Tensor

from condenser.errors import CondenserError, DamagedError
from condenser.files import damaged, force, put_aside, read_json, sha256, sha256_once
from condenser.training.teacher_cache.manifest import Manifest
from condenser.training.teacher_cache.settings import ROOM
from condenser.training.teacher_cache.table import CachedOutputs

MANIFEST = "manifest.json"
Fill = Callable[[Mapping[str, np.ndarray]], None]


def load_or_make(
    folder: Path, manifest: Manifest, fill: Fill, warn: Callable[[str], None] | None = None
) -> CachedOutputs:
    """Load the folder, or create it with the arrays that ``fill`` writes.

    While one process computes it, others that need it wait.

    Args:
        warn: for a content-addressed folder: called if it is damaged, which is then moved aside and
            recomputed. None: the user's own folder, which is left untouched.

    Raises:
        CondenserError: the folder holds other outputs, or other files.
        DamagedError: a file is not the one that was written.
    """
    if not (folder / MANIFEST).is_file() or (warn and unfit(folder, manifest)):
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.with_name(f"{folder.name}.lock")):
            if warn and folder.exists() and (why := unfit(folder, manifest)):
                warn(f"{why}; it is put aside as {put_aside(folder).name}, and made anew")
            if not (folder / MANIFEST).is_file():
                make(folder, manifest, fill)
    return load(folder, manifest)


def unfit(folder: Path, manifest: Manifest) -> str:
    """Why a content-addressed folder does not match its name; empty if it does."""
    try:
        check(folder, manifest)
    except CondenserError as error:
        return str(error).partition("; ")[0]
    return ""


def make(folder: Path, manifest: Manifest, fill: Fill) -> None:
    """Fill a temporary folder and rename it, so that the cache appears atomically."""
    check_room(folder, manifest.bytes)
    draft = folder.with_name(f".{folder.name}.draft")
    shutil.rmtree(draft, ignore_errors=True)  # left by a process that was killed
    draft.mkdir()
    try:
        arrays = {
            name: open_memmap(draft / f"{name}.npy", mode="w+", dtype=dtype, shape=shape)
            for name, (dtype, shape) in manifest.arrays.items()
        }
        fill(arrays)
        for array in arrays.values():
            array.flush()
        files = {name: sha256(draft / f"{name}.npy") for name in arrays}
        content = manifest.parts | {"sha256": files, "torch": torch.__version__}
        (draft / MANIFEST).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        for file in (*draft.iterdir(), draft):
            force(file)
        os.replace(draft, folder)
        force(folder.parent)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def check_room(folder: Path, size: int) -> None:
    """Check that the folder is free and the disk has space."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise DamagedError(
            f"{folder} holds something else than a teacher's outputs: delete it, or name another "
            "folder with teacher.cache.folder"
        )
    free = shutil.disk_usage(folder.parent).free
    if size > free:
        raise CondenserError(
            f"the teacher's outputs take {size:,} bytes, {folder.parent} has {free:,} left: use "
            "teacher.cache.logits=float16, or 10 for the ten largest, fewer data.views, or "
            "teacher.cache.keep=none"
        )


def load(folder: Path, manifest: Manifest) -> CachedOutputs:
    """The verified arrays of the folder; memory-mapped if above 1 GiB."""
    check(folder, manifest)
    mapped = manifest.bytes > ROOM
    return CachedOutputs(
        manifest, {n: tensor(folder / f"{n}.npy", mapped) for n in manifest.arrays}
    )


def check(folder: Path, manifest: Manifest) -> None:
    """Verify that the folder matches ``manifest`` and is intact.

    Raises:
        CondenserError: names each difference, found and expected.
        DamagedError: a file is missing or is not the one that was written.
    """
    stored = read_json(folder / MANIFEST)
    if differences := manifest.differences(stored):
        raise CondenserError(
            f"{folder} holds other outputs of a teacher than this run needs: "
            + "; ".join(differences)
            + ". Delete the folder, or name another one with teacher.cache.folder"
        )
    sums = stored.get("sha256")
    if not isinstance(sums, dict) or set(sums) != set(manifest.arrays):
        raise damaged(folder / MANIFEST)
    for name, expected in sums.items():
        path = folder / f"{name}.npy"
        if not path.is_file() or sha256_once(path) != expected:
            raise damaged(path)


def tensor(path: Path, mapped: bool) -> Tensor:
    """A numeric array; DamagedError for anything else, or a size larger than the file."""
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore"
        )  # about mapped files being read-only: they are never written
        try:
            array = np.load(path, mmap_mode="r" if mapped else None, allow_pickle=False)
            return torch.from_numpy(array)
        except (ValueError, TypeError, EOFError, MemoryError) as error:
            raise damaged(path) from error
