"""What a network costs: bytes, bits, time, memory, energy."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from condenser import deploy, measure
from condenser.capture import evaluating
from condenser.checkpoint.packed import Row
from condenser.compress import Operation, Quantized
from condenser.measure import Widths
from condenser.pipeline.stages import RunContext, StageResult


def files(outcome: StageResult, folder: Path) -> dict[str, Any]:
    """Bytes of what would be shipped."""
    if outcome.file is not None:
        kind = {suffix: target for target, suffix in deploy.SUFFIX.items()}[outcome.file.suffix]
        return {"size/file_bytes": deploy.size(outcome.file), "size/file_format": kind}
    size = sum((folder / name).stat().st_size for name in ("model.json", "weights.safetensors"))
    return {"size/file_bytes": size, "size/file_format": "safetensors"}


def packed(rows: Sequence[Row]) -> dict[str, int]:
    """Bytes of the packed file, in all and of each layer, and how many numbers a layer stores."""
    metrics = {"size/packed_bytes": sum(row.bytes for row in rows)}
    for row in rows:
        name = re.split(r"\.(?:parametrizations|input_quantizer|output_quantizer)\.", row.name)[0]
        layer = name if name != row.name else name.rpartition(".")[0] or name
        for key, value in ((f"packed/{layer}", row.bytes), (f"entries/{layer}", row.entries)):
            metrics[key] = metrics.get(key, 0) + value
    return metrics


def widths(operations: Sequence[Operation]) -> Widths:
    """Bits of the weights and inputs of the layers that were quantised."""
    made = [op for op in operations if isinstance(op, Quantized)]
    return {layer: op.bits_of(layer) for op in made for layer in op.layers}


def running(outcome: StageResult, ctx: RunContext) -> dict[str, Any]:
    """Time, memory and counted energy of one image; no time of a network that only simulates
    integers, memory of files alone."""
    data = ctx.data
    if outcome.file is None and any(isinstance(o, Quantized) for o in outcome.spec.operations):
        none = dict.fromkeys(("ms_b1", "iqr_b1", "threads"))
        return {f"latency/{k}": v for k, v in {**none, "runtime": "simulated"}.items()}
    metrics: dict[str, Any] = {}
    if outcome.file is None:
        times = measure.torch_latency(outcome.model, data.example())
        call = measure.torch_call(outcome.model, data.example())
    else:
        session = deploy.session(outcome.file, outcome.threads)
        call = session.call(data.pixels() if session.pixels else data.example())
        times = measure.call_latency(call, 1, session.runtime, session.threads)
        metrics["memory/peak_bytes"] = deploy.peak_bytes(outcome.file, outcome.threads)
    with evaluating(outcome.model), measure.settled(outcome.threads):
        counted = measure.joules(call)
    if counted is not None:
        metrics["energy/counted_uj"] = 1e6 * counted
    return metrics | {f"latency/{k}": v for k, v in times.items()}
