"""Layers that a compression skips, and why."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from torch import nn

from condenser.compress.base import Compression
from condenser.compress.patterns import matches


class Weights(NamedTuple):
    """A layer's weights: its parameters of two or more dimensions."""

    kind: str
    entries: int
    others: tuple[str, ...] = ()  # layers that hold the same


def weights_of(model: nn.Module) -> dict[str, Weights]:
    """By layer; what layers share counts once, for the first of them."""
    first: dict[int, str] = {}
    found: dict[str, Weights] = {}
    for name, module in model.named_modules():
        layer = name.partition(".parametrizations.")[0]
        for weight in (p for p in module.parameters(recurse=False) if p.dim() > 1):
            if (holder := first.setdefault(id(weight), layer)) != layer:
                kind, entries, others = found[holder]
                found[holder] = Weights(kind, entries, (*others, layer))
                continue
            kind = type(model.get_submodule(layer)).__name__
            before = found.get(layer, Weights(kind, 0))
            found[layer] = before._replace(entries=before.entries + weight.numel())
    return found


def left_alone(weights: Mapping[str, Weights], compression: Compression) -> dict[str, str]:
    """Layer → why ``compression``, prepared, leaves its weights alone; none, if it is not known."""
    if compression.reached is None:
        return {}
    found = {}
    for name, (kind, _, others) in weights.items():
        if not {name, *others}.isdisjoint(compression.reached):
            continue
        usual = f"a layer of a kind that it leaves alone ({kind})"
        excluded = "exclude names it" if matches(name, compression.exclude) else ""
        found[name] = reason(name, compression.skipped) or excluded or usual
    return found


def reason(name: str, skipped: Mapping[str, str]) -> str:
    """Why the layer, or the innermost module around it, was skipped; empty if none was."""
    while name and name not in skipped:
        name = name.rpartition(".")[0]
    return skipped.get(name, "")


def metrics(
    weights: Mapping[str, Weights], compression: Compression, total: int
) -> dict[str, str | float]:
    """The same as facts of a record: of the ``total`` parameters, biases and norms aside."""
    left = left_alone(weights, compression)
    if not left:
        return {}
    count = sum(weights[name].entries for name in left)
    said = (f"{name}: {weights[name].entries:,} ({why})" for name, why in left.items())
    return {"left_alone": "; ".join(said), "left_alone_share": count / total}
