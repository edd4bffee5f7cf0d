"""Tasks done one after another beside the training, which waits for none of them."""

from __future__ import annotations

import time
from collections.abc import Callable
from queue import SimpleQueue
from threading import Thread

Task = Callable[[], object]


class BackgroundWorker:
    """Does what it is given in order, in a daemon thread. The first task that fails ends it."""

    def __init__(self) -> None:
        self._tasks: SimpleQueue[Task | None] = SimpleQueue()
        self._failed: Exception | None = None
        self._thread: Thread | None = None

    def send(self, task: Task) -> None:
        """Have it done when those before it are."""
        self._tasks.put(task)
        if self._thread is None:
            self._thread = Thread(target=self._work, daemon=True)
            self._thread.start()

    def wait(self, seconds: float) -> None:
        """Give the tasks this long; what is not done then goes on alone.

        Raises what a task raised, or TimeoutError.
        """
        if self._thread is None:
            return
        self._tasks.put(None)
        self._thread.join(seconds)
        if self._thread.is_alive():
            raise TimeoutError(f"no answer in {seconds:.3g} s")
        if self._failed is not None:
            raise self._failed

    def _work(self) -> None:
        while (task := self._tasks.get()) is not None:
            try:
                task()
            except Exception as error:  # raised again by who waits
                self._failed = error
                return


class Deadline:
    """Seconds that may be waited, shared by all who wait."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    def left(self, share: float = 1.0, least: float = 0.0) -> float:
        """How long the next may wait: its share of what is left, or ``least``."""
        return max((self._end - time.monotonic()) * share, least)
