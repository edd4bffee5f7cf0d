"""Which trials went well: files in the store, so that a second start is free."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path


class Passed:
    """Keys of trials, each an empty file in ``store/.tried``. A store that cannot be written
    remembers nothing."""

    def __init__(self, store: Path) -> None:
        self.folder = store / ".tried"

    def has(self, key: str) -> bool:
        return (self.folder / key).is_file()

    def add(self, key: str) -> None:
        with suppress(OSError):
            self.folder.mkdir(parents=True, exist_ok=True)
            (self.folder / key).touch()
