"""The target of a pruning, read back from the weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from condenser.compress.masks.granularity import Granularity
from condenser.compress.masks.per_layer import PerLayerRates
from condenser.compress.promises import Promise, some
from condenser.functional.pruning import layerwise_threshold, rounding

if TYPE_CHECKING:
    from condenser.compress.masks.pruning import WeightPruning


@torch.no_grad()
def fallen(layers: Mapping[str, nn.Module], granularity: Granularity) -> float:
    """Fraction of these layers' weights whose whole group is zero."""
    dead = total = 0
    for layer in layers.values():
        weight = layer.get_parameter("weight").detach()
        groups = granularity.groups(layer, torch.zeros_like(weight), weight != 0)
        dead += int(groups.isneginf().expand_as(weight).sum())
        total += weight.numel()
    return dead / max(total, 1)


def promises(pruning: WeightPruning) -> list[Promise]:
    """The rate, of the layers that it reaches, to half a group wherever its scope rounds.

    Where layers have rates of their own, one may have had more zeros than that before.
    """
    names, scope = list(pruning.reached or ()), pruning.scope
    sizes = {name: pruning.weights[name].numel() for name in names}
    if not names:
        return []
    total, asked = sum(sizes.values()), pruning.rate
    if isinstance(scope, PerLayerRates):
        asked = sum(scope.rate(name) * n for name, n in sizes.items()) / total
        scope = layerwise_threshold
    elif pruning.across:
        asked = max(asked, pruning.start)

    def read(model: nn.Module, _: Tensor) -> float:
        layers = {name: model.get_submodule(name) for name in names}
        return fallen(layers, pruning.granularity)

    missed = rounding(scope, groups(pruning, names)) / total
    more = missed + (0.0 if pruning.across else pruning.before)
    what = f"of the {total:,} weights of {some(names)} at zero"
    return [Promise("rate", asked, what, read, min(missed, asked / 2), more)]


def groups(pruning: WeightPruning, names: Sequence[str]) -> dict[str, tuple[float, int]]:
    """Weights of a group, and outputs, of each layer."""
    found = {}
    for name in names:
        weight = pruning.weights[name].detach()
        scores = pruning.granularity.groups(
            pruning.modules[name], torch.zeros_like(weight), torch.ones_like(weight).bool()
        )
        found[name] = weight.numel() / scores.numel(), len(weight)
    return found
