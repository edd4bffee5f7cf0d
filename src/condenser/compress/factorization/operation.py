"""The operation that replaces a layer by its factors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from condenser.compress.base import Operation
from condenser.compress.factorization.kinds import KINDS


@dataclass(frozen=True)
class Factorized(Operation):
    """These layers are products: name → {"kind": svd, spatial or tucker, "ranks": [...]}.

    Where a layer was is an nn.Sequential of the same name with its factors: reduce, expand (svd);
    vertical, horizontal (spatial); reduce, core, expand (tucker). The last one has the bias.
    """

    layers: Mapping[str, Mapping[str, Any]]

    def apply(self, model: nn.Module) -> None:
        for name, plan in self.layers.items():
            layer: Any = model.get_submodule(name)
            parts = KINDS[plan["kind"]].stand_in(layer, plan["ranks"])
            parts.requires_grad_(layer.weight.requires_grad)
            model.set_submodule(name, parts.train(layer.training))
