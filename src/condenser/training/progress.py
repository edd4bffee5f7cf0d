"""Training progress as one line per epoch."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Any

from pytorch_lightning.callbacks import Callback

Tell = Callable[[str, bool], None]  # (line, whether its epoch has ended)
RECENT = 5  # epochs averaged for the estimate
OFTEN = 1.0  # seconds between updates within an epoch


class Progress(Callback):
    """Prints ``distill 3/20 loss 0.412 val 87.3 % 4.1 s left 1:10``.

    The remaining time is of this stage, from the epochs since this start, validation included.

    Args:
        name: of the stage.
        tell: called with the line of each finished epoch, and of the current one.
    """

    def __init__(self, name: str, tell: Tell) -> None:
        self.name, self.tell = name, tell
        self.took: deque[float] = deque(maxlen=RECENT)
        self.begun = self.looked = time.monotonic()
        self.said = ""

    def on_train_start(self, *_: Any) -> None:
        self.begun = time.monotonic()

    def on_train_batch_end(self, trainer: Any, module: Any, *_: Any) -> None:
        if time.monotonic() - self.looked > OFTEN:
            self.looked = time.monotonic()
            self.tell(f"{self.head(trainer)} {self.said}{self.left(trainer)}".rstrip(), False)

    def epoch_over(
        self, trainer: Any, loss: float, chosen: float | None, metric: str = "accuracy"
    ) -> None:
        """The metrics of an epoch are complete; ``chosen`` is the validation's ``metric``."""
        self.took.append(time.monotonic() - self.begun)
        self.begun = time.monotonic()
        value = ""
        if chosen is not None:
            share = metric == "accuracy"
            value = f"val {100 * chosen:.1f} % " if share else f"val {metric} {chosen:.4g} "
        self.said = f"loss {loss:.4g} {value}"
        line = f"{self.head(trainer)} {self.said}{self.took[-1]:.1f} s {self.left(trainer, 1)}"
        self.tell(line.rstrip(), True)

    def head(self, trainer: Any) -> str:
        return f"{self.name} {trainer.current_epoch + 1}/{trainer.max_epochs}"

    def left(self, trainer: Any, over: int = 0) -> str:
        """``left 1:10``; empty until one epoch has been timed."""
        epochs = trainer.max_epochs - trainer.current_epoch - over
        if not self.took or not epochs:
            return ""
        each = sum(self.took) / len(self.took)
        spent = 0.0 if over else time.monotonic() - self.begun
        return f"left {clock(max(0.0, each * epochs - spent))}"


def clock(seconds: float) -> str:
    """``0:04``, ``1:10``, ``2:00:05``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
