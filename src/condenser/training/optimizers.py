"""The optimiser of what is trained, and those that objectives have for parameters of their own."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from condenser.distill import Objective
from condenser.training.plan import Plan


def made(plan: Plan, networks: Sequence[nn.Module], sharded: bool) -> list[torch.optim.Optimizer]:
    """The plan's first, of every parameter that no objective's own optimiser trains."""
    parts = [part for network in networks for part in network.modules()]
    own = [part.own_optimizer() for part in parts if isinstance(part, Objective)]
    others = [optimizer for optimizer in own if optimizer is not None]
    theirs = {id(p) for one in others for group in one.param_groups for p in group["params"]}
    trained = [p for network in networks for p in network.parameters() if p.requires_grad]
    rest = [p for p in trained if id(p) not in theirs]
    optimizer = plan.optimizer(plan.groups(rest), lr=plan.lr)
    if sharded:  # differently sharded parameters cannot share one fused call
        for group in optimizer.param_groups:
            group["foreach"] = False
    return [optimizer, *others]


def set_rates(optimizers: Sequence[torch.optim.Optimizer], rate: float, usual: float) -> None:
    """The first's learning rate, and of the others their own in proportion."""
    first, *others = optimizers
    for group in first.param_groups:
        group["lr"] = rate
    for optimizer in others:
        for group in optimizer.param_groups:
            group["lr"] = optimizer.defaults["lr"] * rate / usual
