"""Collective operations between training steps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from condenser.distill import Outputs
from condenser.training.distributed.gather import gather


@dataclass(frozen=True)
class Peers:
    """The data-parallel group: processes that have other parts of each batch.

    Attributes:
        rank: of this process in the group.
        size: of the group.
        group: torch's process group; None for the default one.
    """

    rank: int = 0
    size: int = 1
    group: Any = None

    @classmethod
    def of(cls, mesh: Any) -> Peers:
        """Along the mesh's data axis; all processes without a mesh."""
        if not dist.is_initialized():
            return cls()
        group = None if mesh is None else mesh["data_parallel"].get_group()
        return cls(dist.get_rank(group), dist.get_world_size(group), group)

    def everyones(self, outputs: Outputs) -> Outputs:
        """Outputs of the global batch, with gradients to the local part."""
        features = {name: self.gather(feature) for name, feature in outputs.features.items()}
        index = None if outputs.index is None else self.gather(outputs.index)
        strong = None if outputs.strong is None else self.gather(outputs.strong)
        return Outputs(self.gather(outputs.logits), features, index, strong)

    def gather(self, rows: Tensor) -> Tensor:
        return gather(rows, self.group)

    def mean(self, values: Mapping[str, float]) -> dict[str, float]:
        """Mean of each value over the processes (all-reduce)."""
        if self.size == 1:
            return dict(values)
        means = torch.tensor(list(values.values()), dtype=torch.float64)
        dist.all_reduce(means)
        return dict(zip(values, (means / dist.get_world_size()).tolist(), strict=True))

    def align(self, network: nn.Module) -> None:
        """Broadcast rank 0's buffers: batch norms have seen different samples on each."""
        if self.size > 1:
            for buffer in network.buffers():
                dist.broadcast(buffer, src=0)


def assembled(outputs: Outputs) -> Outputs:
    """Gather features that a sharded layer left in parts."""
    whole = {k: getattr(f, "full_tensor", lambda f=f: f)() for k, f in outputs.features.items()}
    return outputs._replace(features=whole)


def agreed(value: Any) -> Any:
    """Broadcast rank 0's value, so that all ranks decide alike."""
    if not dist.is_initialized():
        return value
    said = [value]
    dist.broadcast_object_list(said, src=0)
    return said[0]
