"""Which trials went well: files in the store, so that a second start is free."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from condenser.store import marker


class Passed:
    """Keys of trials, each an empty file in ``store/.tried`` once they are kept.

    A store that is not there yet, or cannot be written, remembers nothing.
    """

    def __init__(self, store: Path) -> None:
        self.store, self.folder, self.new = store, store / marker.TRIED, set[str]()

    def has(self, key: str) -> bool:
        return (self.folder / key).is_file()

    def keep(self) -> None:
        """Write what is new, once the run is sure to start: one that is refused leaves nothing."""
        if not marker.marked(self.store):
            return
        with suppress(OSError):
            for key in self.new:
                self.folder.mkdir(parents=True, exist_ok=True)
                (self.folder / key).touch()
