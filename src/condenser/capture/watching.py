"""Hooks on some of a model's layers, gone afterwards."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

from torch import nn


@contextmanager
def watching(
    model: nn.Module, layers: Iterable[str], note: Callable[..., Any], before: bool = False
) -> Iterator[None]:
    """Call ``note(name, layer, inputs, output)`` after each call of each of the layers.

    Args:
        before: call ``note(name, layer, inputs)`` ahead of the layer instead.
    """
    with ExitStack() as hooks:
        for name in layers:
            layer = model.get_submodule(name)
            add = layer.register_forward_pre_hook if before else layer.register_forward_hook
            hooks.enter_context(add(partial(note, name)))
        yield
