"""Checkpoints to resume a killed training."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Checkpoint

from condenser.files import force, put_aside
from condenser.training.distributed.peers import agreed

SEAL = b"condenser sha256 "
SEALED = len(SEAL) + 64  # bytes of the checksum at a checkpoint's end


class Resume(Checkpoint):
    """Periodically saves the full training state to ``path`` at the end of an epoch.

    Order, augmentation and dropout are functions of (seed, epoch, step), so that a run resumed from
    an epoch's end is bit-identical to an uninterrupted one.

    Args:
        path: the file, written atomically and ending in its checksum.
        every: seconds between checkpoints; 0 writes one each epoch.
        warn: called if a checkpoint is damaged.
    """

    def __init__(self, path: Path, every: float, warn: Callable[[str], None] = print) -> None:
        self.path, self.every, self.warn = path, every, warn
        self.written = time.monotonic()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if agreed(time.monotonic() - self.written < self.every):
            return
        draft = self.path.with_name(f"{self.path.name}.{os.getpid()}")
        try:
            trainer.save_checkpoint(draft)
            if trainer.is_global_zero:
                seal(draft, self.path.name)
                os.replace(draft, self.path)
                force(self.path.parent)
        finally:
            draft.unlink(missing_ok=True)
        self.written = time.monotonic()

    def left(self) -> Path | None:
        """The checkpoint of a killed training if intact; otherwise it is moved aside."""
        if not os.path.lexists(self.path):
            return None
        if sealed(self.path):
            return self.path
        where = put_aside(self.path).name
        self.warn(f"{self.path} is damaged; it is put aside as {where}, and training starts anew")
        return None


def seal(file: Path, name: str) -> None:
    """Append the checksum of the file's bytes and future name; sync it to disk."""
    seal = SEAL + digest_of(file, file.stat().st_size, name)
    with file.open("ab") as end:
        end.write(seal)
    force(file)


def sealed(file: Path) -> bool:
    """Whether it is intact and has its own name: another training's checkpoint is intact too."""
    if not file.is_file():
        return False
    size = file.stat().st_size - SEALED
    if size < 0:
        return False
    with file.open("rb") as read:
        read.seek(size)
        return read.read() == SEAL + digest_of(file, size, file.name)


def digest_of(file: Path, size: int, name: str) -> bytes:
    """sha256 of a file name and the file without its checksum."""
    found = hashlib.sha256(name.encode())
    with file.open("rb") as read:
        while size > 0 and (piece := read.read(min(size, 1 << 20))):
            found.update(piece)
            size -= len(piece)
    return found.hexdigest().encode()
