"""The processes of a run: rank 0 decides, the others run its work orders."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from condenser.errors import CondenserError, ConfigError

if TYPE_CHECKING:
    from lightning_fabric.plugins import ClusterEnvironment

PATIENCE = timedelta(days=30)  # rank 0 may be measuring, or waiting for another run's teacher

Order = Callable[..., Any]


@dataclass(frozen=True)
class ProcessGroup:
    """The processes of a run; a single process is a group of one.

    Attributes:
        rank: of this process.
        size: number of processes.
        channel: torch's process group for work orders.
    """

    rank: int = 0
    size: int = 1
    channel: Any = None

    @property
    def is_main(self) -> bool:
        return self.rank == 0

    def run_on_all(self, work: Order, *args: Any) -> None:
        """Make the other ranks run ``work(ctx, *args)``, each with its own run context."""
        if self.size > 1:
            self.broadcast((work, args))

    def run_worker(self, ctx: Any) -> None:
        """Run rank 0's work orders until it ends the run."""
        while (order := self.broadcast(None)) is not None:
            work, args = order
            with suppress(CondenserError):  # rank 0 raises it too, and handles it
                work(ctx, *args)
        self.leave()

    def shutdown(self) -> None:
        """End the run on all ranks."""
        if self.size > 1:
            self.broadcast(None)
            self.leave()

    def leave(self) -> None:
        from torch.distributed import destroy_process_group

        destroy_process_group()

    def broadcast(self, order: Any) -> Any:
        """Broadcast rank 0's order."""
        from torch.distributed import broadcast_object_list

        said = [order]
        broadcast_object_list(said, src=0, group=self.channel)
        return said[0]


def environment() -> ClusterEnvironment | None:
    """The cluster environment: torchrun (as ``launch`` sets it up too), SLURM, or None."""
    if not {"TORCHELASTIC_RUN_ID", "SLURM_PROCID"} & set(os.environ):
        return None
    from lightning_fabric.plugins.environments import SLURMEnvironment, TorchElasticEnvironment

    if TorchElasticEnvironment.detect():
        return TorchElasticEnvironment()
    return SLURMEnvironment() if SLURMEnvironment.detect() else None


def form(trainer: Mapping[str, Any]) -> ProcessGroup:
    """Initialise the process group, if there are several processes.

    Raises:
        ConfigError: their number differs from the config's devices.
    """
    found = environment()
    if found is None and trainer["devices"] == trainer["num_nodes"] == 1:
        return ProcessGroup()
    size = found.world_size() if found is not None else 1
    check(trainer, size)
    if found is None or size == 1:
        return ProcessGroup()
    import torch
    import torch.distributed as dist

    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    where = f"tcp://{found.main_address}:{found.main_port}"
    dist.init_process_group(backend, where, rank=found.global_rank(), world_size=size)
    return ProcessGroup(dist.get_rank(), size, dist.new_group(backend="gloo", timeout=PATIENCE))


def check(trainer: Mapping[str, Any], size: int) -> None:
    """ConfigError unless ``size`` processes match the config and can run it."""
    from condenser.training.distributed.launch import devices, on_gpus

    together = trainer["tensor_parallel_size"]
    if together is not None and size % together:
        allowed = f"a divisor of {size} processes"
        raise ConfigError("trainer.tensor_parallel_size", together, allowed)
    if trainer["sync_batchnorm"] and not on_gpus(trainer):
        raise ConfigError("trainer.sync_batchnorm", "true", "false on the CPU")
    here, nodes = devices(trainer), trainer["num_nodes"]
    if size != here * nodes:
        how = f"start it by torchrun --nnodes={nodes} --nproc-per-node={here}, or by SLURM"
        allowed = f"the number of processes of this run, {size}"
        raise ConfigError("trainer.devices × trainer.num_nodes", here * nodes, allowed, how)
