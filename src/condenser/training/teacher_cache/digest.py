"""Hash of everything that determines a network's outputs."""

from __future__ import annotations

import hashlib
import re

import torch
from torch import nn

from condenser.outside.sources import of_targets

SCALARS = (bool, int, float, str, type(None))


def digest(network: nn.Module) -> str:
    """sha256 of everything that determines a network's outputs.

    Includes the source of its classes unless they are ours or torch's, its repr, each submodule's
    plain attributes, the objects whose methods are hooked to it, and every tensor of its state,
    independent of device and memory format.
    """
    classes = {type(module) for module in network.modules()}
    code = of_targets(f"{one.__module__}.{one.__qualname__}" for one in classes)
    found = hashlib.sha256(f"{repr_of(network)} {code}".encode())
    for name, module in network.named_modules():
        found.update(f"{name} {settings(module)} {hooked(module)}\n".encode())
    for name, value in network.state_dict().items():
        found.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
        found.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return found.hexdigest()


def settings(module: nn.Module) -> dict[str, object]:
    """Non-tensor attributes: a stride, ensemble weights."""
    own = {k: v for k, v in vars(module).items() if k[0] != "_" and k != "training"}
    return {name: plain(value) for name, value in sorted(own.items())}


def hooked(module: nn.Module) -> list[str]:
    hooks = [*module._forward_pre_hooks.values(), *module._forward_hooks.values()]
    return [repr_of(hook.__self__) for hook in hooks if hasattr(hook, "__self__")]


def plain(value: object) -> object:
    """Scalars and lists of them by value, functions and objects by name."""
    if isinstance(value, SCALARS):
        return value
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    return getattr(value, "__qualname__", type(value).__qualname__)


def repr_of(value: object) -> str:
    """The repr without memory addresses, which differ from run to run."""
    return re.sub(r" at 0x[0-9a-f]+", "", repr(value))
