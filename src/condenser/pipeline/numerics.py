"""``trainer.precision=auto`` and ``trainer.threads=auto``: what flags and sizes say.

Never a stopwatch: the same machine gives the same bits, and the choice is in keys and records.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from condenser import measure
from condenser.capture import evaluating
from condenser.pipeline.stages import RunContext
from condenser.pipeline.stages.distill import network

# Multiply-accumulates of a batch's forward pass. Below, a layer is done in about the time that
# handing it to another thread takes, and casting its weights takes longer than bf16 saves.
SMALL = 50_000_000
ALL = torch.get_num_threads()  # as torch or the person has set them


def settle(config: Mapping[str, Any], ctx: RunContext) -> dict[str, Any]:
    """``ctx.trainer`` with its precision decided; sets the threads."""
    asked, own = config["trainer"]["threads"], dict(ctx.trainer)
    if "auto" not in (asked, own["precision"]):
        return own
    work = largest(config, ctx)
    small, large = work is not None and work < SMALL, work is not None and work >= SMALL
    if asked == "auto" and ctx.process_group.size == 1:
        torch.set_num_threads(1 if small else ALL)  # an earlier run here may have set them
    if own["precision"] == "auto":
        fast = large and has_bf16(measure.device_kind(own["accelerator"]))
        own["precision"] = "bf16-mixed" if fast else "32-true"
    return own


def has_bf16(device: str) -> bool:
    """Whether it multiplies bfloat16 faster than float32: of CPUs those with AMX."""
    if device.startswith("cuda"):
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return device == "cpu" and torch.cpu._is_amx_tile_supported()


def largest(config: Mapping[str, Any], ctx: RunContext) -> int | None:
    """Multiply-accumulates of a batch of the largest network that the config names; None where one
    cannot be told from its shapes alone."""
    example = ctx.data.example(1).to("meta")
    try:
        macs = [macs_of(architecture, example, ctx) for architecture in networks(config)]
    except Exception:  # whatever a class from outside raises without numbers
        return None
    return max(macs) * int(config["optim"]["batch_size"])


def networks(node: Any) -> Iterator[Mapping[str, Any]]:
    """Every network below a node of the config."""
    if isinstance(node, Mapping):
        for key, value in node.items():
            if key == "model" and isinstance(value, Mapping) and "_target_" in value:
                yield value
            else:
                yield from networks(value)
    elif isinstance(node, list):
        for value in node:
            yield from networks(value)


def macs_of(architecture: Mapping[str, Any], example: torch.Tensor, ctx: RunContext) -> int:
    counter = FlopCounterMode(display=False)
    with torch.device("meta"), torch.no_grad():
        model = network(architecture, ctx)
        with evaluating(model), counter:
            model(example)
    return counter.get_total_flops() // 2
