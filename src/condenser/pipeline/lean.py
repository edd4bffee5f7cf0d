"""Lightning without what its torchmetrics would load for metrics of sound, images and text."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any
from unittest.mock import patch

# It loads these where they are installed, for plots and for metrics that nobody here asks for:
# scipy.signal, matplotlib, torchvision's networks and transformers take two seconds of every start.
HIDDEN = ("matplotlib", "scipy", "torchvision", "transformers")


def load() -> None:
    """Import torchmetrics as it is where none of ``HIDDEN`` is installed."""
    with hidden():
        import_module("torchmetrics")


@contextmanager
def hidden() -> Iterator[None]:
    """Within, Lightning's packages find none of ``HIDDEN``; whoever imports them does."""
    found: Any = import_module("lightning_utilities.core.imports")
    ask, check = found.package_available, found.RequirementCache._check_available

    def checked(one: Any) -> None:
        if str(one.requirement).startswith(HIDDEN):
            one.available, one.message = False, f"{one.requirement} is not loaded"
        check(one)

    with (
        patch.object(found, "package_available", lambda name: name not in HIDDEN and ask(name)),
        patch.object(found.RequirementCache, "_check_available", checked),
    ):
        yield
