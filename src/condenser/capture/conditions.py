"""The conditions of a measurement: a model only looked at, a machine at rest."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn


@contextmanager
def evaluating(model: nn.Module | Callable[..., Any]) -> Iterator[None]:
    """Eval mode and no gradients inside; every submodule's own mode comes back afterwards.

    Each flag is kept by itself: ``model.train()`` afterwards would wake a frozen BatchNorm or a
    teacher. ``no_grad``, not ``inference_mode``, whose tensors break later training. A callable
    that is no module has no mode to keep.
    """
    modules = list(model.modules()) if isinstance(model, nn.Module) else []
    modes = [module.training for module in modules]
    try:
        if isinstance(model, nn.Module):
            model.eval()
        with torch.no_grad():
            yield
    finally:
        for module, mode in zip(modules, modes, strict=True):
            module.training = mode


def device_of(model: nn.Module | Callable[..., Any]) -> torch.device:
    """The device of the first parameter, else of the first buffer, else the CPU."""
    if isinstance(model, nn.Module):
        for tensor in (*model.parameters(), *model.buffers()):
            return tensor.device
    return torch.device("cpu")


@contextmanager
def settled(threads: int = 1) -> Iterator[None]:
    """Set torch's threads and flush denormals, and put both back.

    Denormals, which pruning and weight decay leave behind, slow a CPU tenfold and more.
    """
    threads_before, flush_before = torch.get_num_threads(), _flushes_denormals()
    try:
        torch.set_num_threads(threads)
        torch.set_flush_denormal(True)
        yield
    finally:
        torch.set_flush_denormal(flush_before)
        torch.set_num_threads(threads_before)


def _flushes_denormals() -> bool:
    """torch has no getter; the processor's flag shows in Python's own floats."""
    return sys.float_info.min / 2 == 0.0
