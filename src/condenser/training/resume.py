"""Training that was killed goes on where it was."""

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
SEALED = len(SEAL) + 64  # bytes that end a checkpoint


class Resume(Checkpoint):
    """Writes the whole state of training to ``path`` at the end of an epoch, every so often.

    Order, augmentation and dropout are functions of (seed, epoch, step), so that a run which
    starts again from an epoch's end repeats, bit for bit, what the undisturbed one does.

    Args:
        path: the file; it appears whole or not at all, and ends in its checksum.
        every: seconds between two of them; 0 writes one each epoch.
        warn: hears of one that is not what was written.
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
        """What a killed training left, if it is what was written; else it is put aside."""
        if not os.path.lexists(self.path):
            return None
        if sealed(self.path):
            return self.path
        where = put_aside(self.path).name
        self.warn(f"{self.path} is damaged; it is put aside as {where}, and training starts anew")
        return None


def seal(file: Path, name: str) -> None:
    """End a file with the checksum of its bytes and of the name it will have; force it to disk."""
    seal = SEAL + digest_of(file, file.stat().st_size, name)
    with file.open("ab") as end:
        end.write(seal)
    force(file)


def sealed(file: Path) -> bool:
    """Whether it is what was written, and by this name: another training's state is whole, too."""
    if not file.is_file():
        return False
    size = file.stat().st_size - SEALED
    if size < 0:
        return False
    with file.open("rb") as read:
        read.seek(size)
        return read.read() == SEAL + digest_of(file, size, file.name)


def digest_of(file: Path, size: int, name: str) -> bytes:
    """sha256 of a name and a file's first bytes."""
    found = hashlib.sha256(name.encode())
    with file.open("rb") as read:
        while size > 0 and (piece := read.read(min(size, 1 << 20))):
            found.update(piece)
            size -= len(piece)
    return found.hexdigest().encode()
