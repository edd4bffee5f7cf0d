"""What the processes of a training tell one another between its steps."""

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
    """The processes that have other parts of each batch; by itself one has all of it.

    Attributes:
        rank: which of them this is.
        size: how many they are.
        group: they, and no others; None for every process there is.
    """

    rank: int = 0
    size: int = 1
    group: Any = None

    @classmethod
    def of(cls, mesh: Any) -> Peers:
        """Along the mesh's axis of data; every process where there is no mesh."""
        if not dist.is_initialized():
            return cls()
        group = None if mesh is None else mesh["data_parallel"].get_group()
        return cls(dist.get_rank(group), dist.get_world_size(group), group)

    def everyones(self, outputs: Outputs) -> Outputs:
        """The global batch's, with gradients to the own part."""
        features = {name: self.gather(feature) for name, feature in outputs.features.items()}
        index = None if outputs.index is None else self.gather(outputs.index)
        return Outputs(self.gather(outputs.logits), features, index)

    def gather(self, rows: Tensor) -> Tensor:
        return gather(rows, self.group)

    def mean(self, values: Mapping[str, float]) -> dict[str, float]:
        """Each value's mean over the processes, the same for all."""
        if self.size == 1:
            return dict(values)
        means = torch.tensor(list(values.values()), dtype=torch.float64)
        dist.all_reduce(means)
        return dict(zip(values, (means / dist.get_world_size()).tolist(), strict=True))

    def align(self, network: nn.Module) -> None:
        """The first process's buffers for all: batch norms have seen other samples in each."""
        if self.size > 1:
            for buffer in network.buffers():
                dist.broadcast(buffer, src=0)


def assembled(outputs: Outputs) -> Outputs:
    """With features whole that a layer which is cut up has left in parts."""
    whole = {k: getattr(f, "full_tensor", lambda f=f: f)() for k, f in outputs.features.items()}
    return outputs._replace(features=whole)


def agreed(value: Any) -> Any:
    """What the first process says: what is decided by it is decided by all alike."""
    if not dist.is_initialized():
        return value
    said = [value]
    dist.broadcast_object_list(said, src=0)
    return said[0]
