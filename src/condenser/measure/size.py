"""Model size, counted from its tensors."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from condenser.capture import evaluating

FP32_BYTES = 4


@dataclass(frozen=True)
class LayerSize:
    """One layer that owns parameters.

    shape: of ``weight``, or of the largest parameter where none has that name.
    params, nonzero: entries of all its parameters, bias included; a tied weight counts in its first
    layer only. distinct: distinct non-zero values per tensor, summed. sparsity: fraction of zeros
    in the tensor of ``shape``.
    """

    name: str
    type: str
    shape: tuple[int, ...]
    params: int
    nonzero: int
    distinct: int
    sparsity: float


def size(model: nn.Module) -> dict[str, int]:
    """Parameter entries, non-zero entries, and bytes in float32.

    params: entries of all parameters, shared ones once. nonzero: those that are not 0.
    distinct: distinct non-zero values per tensor, summed over tensors: the size of codebooks.
    fp32_bytes: 4 · (params + entries of the floating-point buffers in the state_dict, such as
    BatchNorm's running mean and variance); integer buffers and file headers are not in it.
    A parametrised tensor (a mask, a weight norm) counts as used in the forward pass, without the
    parametrisation's own state: that is what remains once it is removed.
    """
    rows = layers(model)
    params = sum(row.params for row in rows)
    return {
        "params": params,
        "nonzero": sum(row.nonzero for row in rows),
        "distinct": sum(row.distinct for row in rows),
        "fp32_bytes": FP32_BYTES * (params + _buffer_entries(model)),
    }


def layers(model: nn.Module) -> list[LayerSize]:
    """The sizes of every layer that owns parameters, in the model's order.

    The rows add up to ``size``: see there for what is counted.
    """
    seen: set[int] = set()
    rows = []
    with evaluating(model):
        for name, module in _modules(model):
            own = {key: t for key, source, t in _tensors(module) if _first_time(seen, source)}
            if own:
                rows.append(_row(name, module, own))
    return rows


def _row(name: str, module: nn.Module, own: dict[str, Tensor]) -> LayerSize:
    main = "weight" if "weight" in own else max(own, key=lambda key: own[key].numel())
    nonzero = {key: int(torch.count_nonzero(tensor)) for key, tensor in own.items()}
    return LayerSize(
        name=name,
        type=type(module).__name__.removeprefix("Parametrized"),
        shape=tuple(own[main].shape),
        params=sum(tensor.numel() for tensor in own.values()),
        nonzero=sum(nonzero.values()),
        distinct=sum(map(distinct, own.values())),
        sparsity=1 - nonzero[main] / max(own[main].numel(), 1),
    )


def distinct(tensor: Tensor) -> int:
    """How many non-zero values it has; numpy sorts a quarter as long as torch.unique."""
    values = tensor.detach().flatten().cpu()
    values = values.float() if values.dtype == torch.bfloat16 else values  # numpy has none
    ordered = np.sort(values.numpy())
    changes = int(np.count_nonzero(ordered[1:] != ordered[:-1]))
    return changes + (ordered.size > 0) - bool((ordered == 0).any())


def _modules(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """All modules except those inside parametrisations."""
    for name, module in model.named_modules():
        if "parametrizations" not in name.split("."):
            yield name, module


def _tensors(module: nn.Module) -> Iterator[tuple[str, Tensor, Tensor]]:
    """(name, underlying parameter, tensor used in forward) of a module's own parameters."""
    for name, parameter in module._parameters.items():
        if parameter is not None:
            yield name, parameter, parameter
    parametrised = getattr(module, "parametrizations", {})
    for name, steps in parametrised.items():
        source = steps.original if hasattr(steps, "original") else steps.original0
        if isinstance(source, nn.Parameter):
            yield name, source, getattr(module, name)


def _first_time(seen: set[int], tensor: Tensor) -> bool:
    new = id(tensor) not in seen
    seen.add(id(tensor))
    return new


def _buffer_entries(model: nn.Module) -> int:
    buffers = {
        id(buffer): buffer.numel()
        for _, module in _modules(model)
        for name, buffer in module._buffers.items()
        if buffer is not None
        and buffer.is_floating_point()
        and name not in module._non_persistent_buffers_set
    }
    return sum(buffers.values())
