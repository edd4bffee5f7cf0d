"""Shard a network's parameters over processes: FSDP2 and tensor parallelism."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import Replicate
from torch.distributed.tensor.parallel import (
    ColwiseParallel,
    ParallelStyle,
    RowwiseParallel,
    parallelize_module,
)

DATA, TENSOR = "data_parallel", "tensor_parallel"  # names of the mesh's axes in Lightning
LISTS = (nn.ModuleList, nn.ModuleDict)
# Elementwise modules between two linear layers, which work on a shard of the features.
ELEMENTWISE = (nn.ReLU, nn.GELU, nn.SiLU, nn.Tanh, nn.Sigmoid, nn.Identity)


def shard(network: nn.Module, mesh: DeviceMesh, watched: bool = False) -> None:
    """Shard the network in place: linear layers over one mesh axis, all parameters over the other.

    FSDP2 gathers a block's parameters just before it runs; tensor parallelism has each process
    compute a part of a linear layer's features.

    Args:
        watched: layer outputs are captured, hence gathered after each layer.

    Source: Zhao et al., "PyTorch FSDP", 2023, https://arxiv.org/abs/2304.11277; Shoeybi et al.,
    "Megatron-LM", 2019, https://arxiv.org/abs/1909.08053
    """
    network.to(memory_format=torch.contiguous_format)  # a part of channels_last is none
    if mesh[TENSOR].size() > 1:
        plan = dict(columns(network) if watched else pairs(network))
        parallelize_module(network, mesh[TENSOR], plan)
    for block in blocks(network):
        fully_shard(block, mesh=mesh[DATA])
    fully_shard(network, mesh=mesh[DATA])


def blocks(network: nn.Module) -> Iterator[nn.Module]:
    """The FSDP units: modules whose parameters are gathered together."""
    for child in network.children():
        if isinstance(child, LISTS):
            yield from blocks(child)
        elif any(True for _ in child.parameters()):
            yield child


def columns(network: nn.Module) -> Iterator[tuple[str, ParallelStyle]]:
    """Column-parallel linear layers, with outputs gathered immediately."""
    for name, module in network.named_modules():
        if type(module) is nn.Linear:
            yield name, ColwiseParallel(output_layouts=Replicate())


def pairs(network: nn.Module) -> Iterator[tuple[str, ParallelStyle]]:
    """As ``columns``, but linear pairs with only an activation between gather after the second."""
    plan = dict(columns(network))
    for name, module in network.named_modules():
        if isinstance(module, nn.Sequential):
            before: str | None = None
            for child, layer in module.named_children():
                path = f"{name}.{child}" if name else child
                if type(layer) is nn.Linear and before is not None:
                    plan |= {before: ColwiseParallel(), path: RowwiseParallel()}
                    before = None
                elif type(layer) is nn.Linear:
                    before = path
                elif not isinstance(layer, ELEMENTWISE):
                    before = None
    yield from plan.items()
