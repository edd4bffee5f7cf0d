"""Training that was killed goes on where it was."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Checkpoint

from condenser.distributed.peers import agreed


class Resume(Checkpoint):
    """Writes the whole state of training to ``path`` at the end of an epoch, every so often.

    Order, augmentation and dropout are functions of (seed, epoch, step), so that a run which
    starts again from an epoch's end repeats, bit for bit, what the undisturbed one does.

    Args:
        path: the file; it appears whole or not at all.
        every: seconds between two of them; 0 writes one each epoch.
    """

    def __init__(self, path: Path, every: float) -> None:
        self.path, self.every, self.written = path, every, time.monotonic()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if agreed(time.monotonic() - self.written < self.every):
            return
        draft = self.path.with_name(f"{self.path.name}.{os.getpid()}")
        trainer.save_checkpoint(draft)
        if trainer.is_global_zero:
            os.replace(draft, self.path)
        self.written = time.monotonic()
