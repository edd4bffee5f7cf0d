"""Adapt users' networks to the interface used here: images → logits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.nn.utils.weight_norm import WeightNorm

from condenser.errors import CondenserError


def adapted(
    model: nn.Module, input_shape: tuple[int, ...], vocab_size: int | None = None
) -> nn.Module:
    """The network with lazy layers materialised and its output reduced to logits."""
    if any(is_lazy(tensor) for tensor in (*model.parameters(), *model.buffers())):
        with torch.no_grad():
            kind = torch.float32 if vocab_size is None else torch.int64
            model.eval()(torch.zeros(2, *input_shape, dtype=kind))
        model.train()
    for module in model.modules():
        for hook in module._forward_pre_hooks.values():
            if isinstance(hook, WeightNorm):  # its tensors carry a graph and cannot be deep-copied
                setattr(module, hook.name, getattr(module, hook.name).detach())
    model.register_forward_hook(answer)
    return model


def answer(_: nn.Module, args: tuple[Any, ...], output: Any) -> Tensor:
    """(batch, outputs) from a tensor, from what has ``logits``, or from a tuple's first."""
    logits = found(output)
    if logits is None:
        raise CondenserError(
            f"answers with {kind(output)}; must be a tensor (batch, outputs), "
            "a tuple that begins with one, or have logits"
        )
    places = logits.shape[2:]
    return logits.flatten(1) if len(places) and all(side == 1 for side in places) else logits


def found(output: Any) -> Tensor | None:
    """The logits tensor; None if ambiguous."""
    if isinstance(output, Mapping):
        meant = output.get("logits")
    elif isinstance(output, Tensor):
        meant = output
    else:
        first = output[0] if isinstance(output, tuple | list) and output else None
        meant = getattr(output, "logits", first)
    return meant if isinstance(meant, Tensor) else None


def kind(output: Any) -> str:
    """``a dict of aux, out``, or the name of the type."""
    if isinstance(output, Mapping):
        return f"a {type(output).__name__} of {', '.join(map(str, output))}"
    return f"a {type(output).__name__}"
