"""Budgets of what is shipped: trials that cut channels, round and export, begun near the budget."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from condenser.errors import ConfigError
from condenser.search.space import Choice, Interval, Space

if TYPE_CHECKING:
    from condenser.pipeline.execute import Made
    from condenser.pipeline.stages import RunContext
    from condenser.pipeline.stages.export import Export

LIMITS = {"file_bytes": "size/file_bytes", "latency_ms": "latency/ms_b1", "macs": "compute/macs"}
FULL, CLOSE, TRIES = 0.98, 0.9, 3  # of the budget: aimed at, near enough; trials to get there
Entry = dict[str, Any]


def limited(settings: Mapping[str, Any]) -> dict[str, float]:
    """The limits on what is shipped that are set, by name."""
    return {name: settings[name] for name in LIMITS if settings.get(name) is not None}


def widths(config: Mapping[str, Any]) -> tuple[int, ...]:
    """Bits of a weight that pay: 4, beside floats, where bytes are asked for and onnx has them."""
    four = config["budget"]["file_bytes"] is not None and config["export"]["target"] == "onnx"
    return (8, 4) if four else (8,)


def space(config: Mapping[str, Any]) -> Space:
    """What is searched once the solved trials are done: how full the budget gets, and bits."""
    return {"fill": Interval(0.4, 1.0), "bits": Choice(widths(config))}


def corners(config: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Trials that show whether all can be planned."""
    for kept in (1.0, 0.5):
        yield from ({"kept": kept, "bits": bits} for bits in widths(config))


def entries(config: Mapping[str, Any], params: Mapping[str, Any]) -> list[Entry]:
    """The trial as a recipe's entries: cut, unless all is kept, then quantize and export."""
    settings, cut = config["budget"], config["cut"]
    key = "params" if settings["file_bytes"] is not None else "macs"
    if key not in cut:
        raise ConfigError("cut", cut["_target_"], f"one that cuts to a fraction of {key}: cut=l1")
    goal = {**dict.fromkeys(("rate", "macs", "params")), key: params["kept"]}
    steps = [{"cut": {**goal, **training(cut, settings)}}] if params["kept"] < 1 else []
    inputs = 8 if params["bits"] == 8 else None  # an int8 product has int8 weights
    rounding = {"bits": params["bits"], "activation_bits": inputs, "affine": False}
    return [*steps, {"quantize": rounding | training(config["quantize"], settings)}, {"export": {}}]


def training(section: Mapping[str, Any], settings: Mapping[str, Any]) -> Entry:
    """How a step trains on, where its section says that it does: briefly, taught as budget says."""
    own: Entry = {key: settings[key] for key in ("objective", "teachers")}
    return own if section["epochs"] == 0 else own | {"epochs": settings["epochs"]}


@dataclass
class Sizes:
    """What a network would cost, from one file of the network that trials begin with.

    file_bytes ≈ graph + (dense - graph) · kept · bits / 8; macs and latency ≈ dense · kept.

    Attributes:
        dense: cost of the uncut network in 8 bits, by limit.
        graph: bytes of its file that are not weights.
        off: by bits, what the solved ``kept`` is multiplied by, learnt from the first trials.
    """

    dense: Mapping[str, float]
    graph: int
    least: float
    off: dict[int, float] = field(default_factory=dict)

    def kept(self, limits: Mapping[str, float], bits: int, fill: float) -> float:
        """The fraction to keep that fills ``fill`` of the tightest limit."""
        shares = [self.share(name, fill * most, bits) for name, most in limits.items()]
        return float(f"{min(max(min(shares) * self.off.get(bits, 1.0), self.least), 1.0):.4g}")

    def share(self, name: str, cost: float, bits: int) -> float:
        if name != "file_bytes":
            return cost / self.dense[name]
        return (cost - self.graph) / ((self.dense[name] - self.graph) * bits / 8)

    def learn(self, limits: Mapping[str, float], bits: int, costs: Mapping[str, float]) -> float:
        """Correct by what a trial really cost; how full the tightest limit was."""
        full = max(costs[name] / most for name, most in limits.items())
        ratios = []
        for name, most in limits.items():
            fixed = self.graph if name == "file_bytes" else 0
            ratios.append((FULL * most - fixed) / max(costs[name] - fixed, 1e-9))
        self.off[bits] = self.off.get(bits, 1.0) * max(min(ratios), 1e-3)
        return full


def sizes_of(made: Made, export: Export, ctx: RunContext, least: float) -> Sizes:
    """Write the network that trials begin with, untrained in 8 bits, and see what it costs."""
    import torch

    from condenser import deploy, measure
    from condenser.pipeline.tryout.files import rounded

    _, model = made.entry.load(ctx.trusted)
    images = ctx.data.calibration(min(64, ctx.data.train_size))
    with torch.no_grad():
        macs = measure.compute(model, images[:1])["macs"]
    operation = rounded(model, {"bits": 8, "activation_bits": 8}, images)
    form = export.form(ctx)
    notes = deploy.notes(deploy.described(ctx.data, form, operation))
    with tempfile.TemporaryDirectory() as folder:
        file = deploy.write(model, form, images, Path(folder) / "dense", operation, notes)
        graph = deploy.graph_bytes(file) if file.suffix == ".onnx" else 0
        session = deploy.session(file, export.settings["threads"])
        call = session.call(ctx.data.pixels() if session.pixels else images[:1])
        took = measure.call_latency(call, 1, session.runtime, session.threads)["ms_b1"]
        dense = {"file_bytes": deploy.size(file), "latency_ms": float(took), "macs": macs}
    return Sizes(dense, graph, least)
