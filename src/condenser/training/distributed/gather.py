"""Differentiable all-gather of the batch, for losses that compare samples."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


class Gather(torch.autograd.Function):
    """All processes' rows, in the order a single process would have had them.

    Process r of R has the global batch's rows r, r + R, …. Each computes the same loss L of all
    rows; DDP and FSDP take the mean of the R gradients, in which a row's own process is the only
    one that has ∂L/∂row. The backward therefore multiplies by R, without communication.
    """

    @staticmethod
    def forward(ctx: Any, rows: Tensor, group: Any) -> Tensor:
        ctx.rank, ctx.size = dist.get_rank(group), dist.get_world_size(group)
        every = [torch.empty_like(rows) for _ in range(ctx.size)]
        dist.all_gather(every, rows.contiguous(), group=group)
        return torch.stack(every, dim=1).flatten(0, 1)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return ctx.size * gradients[0][ctx.rank :: ctx.size], None


def gather(rows: Tensor, group: Any = None) -> Tensor:
    """(batch, …) of every process → (global batch, …), with gradients to the local rows."""
    return Gather.apply(rows, group)
