"""Hydra's compose, whatever else of hydra is going on in this process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from condenser.files import CONF


@contextmanager
def composing() -> Iterator[None]:
    """Within it ``hydra.compose`` composes the shipped configs; afterwards all is as before."""
    from hydra import initialize_config_dir  # not for start-up: it takes its time
    from hydra.core.global_hydra import GlobalHydra

    hydra = GlobalHydra.instance()
    before = hydra.hydra
    hydra.clear()
    try:
        with initialize_config_dir(str(CONF), version_base="1.3"):
            yield
    finally:
        hydra.hydra = before
