"""The processes of a run: one leads, the others follow."""

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

PATIENCE = timedelta(days=30)  # while the first one measures, or waits for another run's teacher

Order = Callable[..., Any]


@dataclass(frozen=True)
class Team:
    """The processes that train together; by itself a process is a team of one.

    Attributes:
        rank: which of them this is.
        size: how many there are.
        channel: over which orders are given.
    """

    rank: int = 0
    size: int = 1
    channel: Any = None

    @property
    def is_main(self) -> bool:
        return self.rank == 0

    def together(self, work: Order, *args: Any) -> None:
        """Have the others begin ``work(bench, *args)``, each with its own workbench."""
        if self.size > 1:
            self.say((work, args))

    def follow(self, ctx: Any) -> None:
        """Do as the first process says until it says that the run has ended."""
        while (order := self.say(None)) is not None:
            work, args = order
            with suppress(CondenserError):  # the first one has met it, too, and decides
                work(ctx, *args)
        self.part()

    def shutdown(self) -> None:
        """Say that the run has ended."""
        if self.size > 1:
            self.say(None)
            self.part()

    def part(self) -> None:
        from torch.distributed import destroy_process_group

        destroy_process_group()

    def say(self, order: Any) -> Any:
        """What the first process says, to all."""
        from torch.distributed import broadcast_object_list

        said = [order]
        broadcast_object_list(said, src=0, group=self.channel)
        return said[0]


def environment() -> ClusterEnvironment | None:
    """Who says which process this is: torchrun, ``launch`` in its manner, or SLURM; or nobody."""
    if not {"TORCHELASTIC_RUN_ID", "SLURM_PROCID"} & set(os.environ):
        return None
    from lightning_fabric.plugins.environments import SLURMEnvironment, TorchElasticEnvironment

    if TorchElasticEnvironment.detect():
        return TorchElasticEnvironment()
    return SLURMEnvironment() if SLURMEnvironment.detect() else None


def form(trainer: Mapping[str, Any]) -> Team:
    """Meet the other processes, if there are any.

    Raises:
        ConfigError: there are more or fewer of them than the config has devices.
    """
    found = environment()
    if found is None and trainer["devices"] == trainer["num_nodes"] == 1:
        return Team()
    size = found.world_size() if found is not None else 1
    check(trainer, size)
    if found is None or size == 1:
        return Team()
    import torch
    import torch.distributed as dist

    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    where = f"tcp://{found.main_address}:{found.main_port}"
    dist.init_process_group(backend, where, rank=found.global_rank(), world_size=size)
    return Team(dist.get_rank(), size, dist.new_group(backend="gloo", timeout=PATIENCE))


def check(trainer: Mapping[str, Any], size: int) -> None:
    """ConfigError unless ``size`` processes are what the config asks for, and can do it."""
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
