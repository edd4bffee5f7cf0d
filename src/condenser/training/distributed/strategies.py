"""Distributed strategies: what each ``trainer.strategy`` means to Lightning.

auto: ddp if there are several processes.
ddp: each process has the whole network and its part of every batch.
fsdp: also a shard of all parameters, gathered when needed (FSDP2).
tensor_parallel: linear layers are sharded too; tensor_parallel_size processes work on the same
    samples.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.distributed as dist
from pytorch_lightning.strategies import DDPStrategy, ModelParallelStrategy

from condenser.capture import evaluating
from condenser.distill import Objective, Sum
from condenser.training.student import Student

SHARDED = ("fsdp", "tensor_parallel")
OURS = (  # what is none of pl.Trainer's, or what a module with steps of its own does itself
    *("tensor_parallel_size", "gradient_clip_val", "accumulate_grad_batches"),
    *("max_time", "callbacks"),
)


def settings(trainer: Mapping[str, Any], module: Student) -> dict[str, Any]:
    """Settings of ``pl.Trainer`` for training ``module``."""
    own = {key: value for key, value in trainer.items() if key not in OURS}
    return own | {"strategy": strategy(trainer, module)}


def strategy(trainer: Mapping[str, Any], module: Student) -> Any:
    """The strategy as Lightning expects it."""
    word = trainer.get("strategy", "auto")
    if word in SHARDED and processes() > 1:
        tensor = width(trainer)
        return ModelParallelStrategy(
            data_parallel_size=processes() // tensor,
            tensor_parallel_size=tensor,
            save_distributed_checkpoint=False,
        )
    if processes() == 1:
        return "auto"
    return "ddp_find_unused_parameters_true" if leaves_out(module) else "ddp"


def leaves_out(module: Student) -> bool:
    """Whether a step may leave parameters unused (DDP's find_unused_parameters)."""
    projectors = any(True for _ in module.objective.parameters())  # unused for a batch of one
    if projectors or not sees_logits(module.objective):
        return True
    own = [p for p in module.model.parameters() if p.requires_grad]
    with evaluating(module.model), torch.enable_grad():
        logits = module.model(module.data.example(2))
        found = torch.autograd.grad(logits.sum(), own, allow_unused=True)
    return any(gradient is None for gradient in found)


def sees_logits(objective: Objective) -> bool:
    """Whether the loss uses the logits; features alone leave the last layers unused."""
    if isinstance(objective, Sum):
        return any(sees_logits(part) for part in objective.parts)
    return not objective.student_layers


def width(trainer: Mapping[str, Any]) -> int:
    """How many processes work on the same samples (tensor-parallel size)."""
    if trainer.get("strategy") != "tensor_parallel":
        return 1
    return trainer["tensor_parallel_size"] or processes()


def part(trainer: Mapping[str, Any]) -> tuple[int, int]:
    """(index, count) of this process's part of each batch; (0, 1) for all of it."""
    together = width(trainer)
    rank = dist.get_rank() if dist.is_initialized() else 0
    return rank // together, processes() // together


def whole(trainer: Mapping[str, Any]) -> dict[str, Any]:
    """Settings for training that needs whole parameters: replicated, not sharded."""
    return {**trainer, "strategy": "ddp"} if trainer.get("strategy") in SHARDED else {**trainer}


def wraps(running: Any) -> bool:
    """Whether Lightning wraps the module in DDP, which wants one backward a forward."""
    return isinstance(running.strategy, DDPStrategy)


def processes() -> int:
    return dist.get_world_size() if dist.is_initialized() else 1
