"""Low-rank factorisation of layers, in one shot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from condenser.compress.base import AtOnce, CalibrationData, Operation, Patterns
from condenser.compress.factorization.kinds import KINDS, Layer, Positions
from condenser.compress.factorization.layers import (
    WEIGHTED,
    factorable,
    pointwise,
    second_moments,
    sites_of,
)
from condenser.compress.factorization.operation import Factorized
from condenser.compress.factorization.ranks import (
    RankOption,
    by_budget,
    by_energy,
    by_ratio,
    the_one,
)
from condenser.compress.masks.sparse import Sparse
from condenser.compress.patterns import listed
from condenser.compress.promises import Promise, some, what_is_left
from condenser.compress.sharing import Shared
from condenser.errors import ConfigError, UnknownError
from condenser.measure import compute, size


class Factorization(AtOnce):
    """Replace layers by products of smaller ones, at once; what training follows fine-tunes.

    Linear layers and 1×1 convolutions become two layers by SVD; other convolutions two or three,
    as ``convolutions`` says. A layer stays as it is where its factors would cost as much. Layers
    that an earlier stage has pruned or given a codebook are left alone: a product has neither.
    Exactly one of ``energy``, ``rank_ratio``, ``params`` and ``macs`` is given.

    Args:
        energy: share of its squared singular values that each layer keeps, in (0, 1].
        rank_ratio: ranks as a share of the highest there can be, in (0, 1].
        params: share of its parameters that the whole network keeps, in (0, 1): ranks are shared
            out where they keep most.
        macs: the same of its multiply-accumulates.
        convolutions: spatial (k×1, 1×k), tucker (1×1, k×k, 1×1) or svd (k×k, 1×1).
        images: with svd, ranks and factors are chosen for what comes out of the layer on so many
            training images rather than for the weights; 0 looks at no data.
        exclude: patterns of layer names that are left alone.

    Attributes:
        layers: name → kind and ranks of what was replaced, after ``prepare``.
        skipped: name → why that layer was left whole.
        achieved: what the network costs of what it did.

    Raises:
        ConfigError: a value out of range, an unknown word, none or several of the four rules.
    """

    def __init__(
        self,
        energy: float | None = None,
        rank_ratio: float | None = None,
        params: float | None = None,
        macs: float | None = None,
        convolutions: str = "spatial",
        images: int = 0,
        exclude: Sequence[str] = (),
    ) -> None:
        super().__init__()
        given = {"energy": energy, "rank_ratio": rank_ratio, "params": params, "macs": macs}
        self.rule, self.value = the_one(**given)
        if convolutions not in KINDS:
            raise UnknownError("factorize.convolutions", convolutions, KINDS)
        if images < 0:
            raise ConfigError("factorize.images", images, "0 (none) or more")
        self.convolutions, self.images = convolutions, images
        self.exclude = listed("factorize.exclude", exclude)
        self.layers: dict[str, dict[str, Any]] = {}
        self.achieved = 1.0
        self.taken: dict[str, str] = {}  # layer → the word of an earlier stage whose it is

    def metrics(self) -> Mapping[str, str | float]:
        ranks = {n: "×".join(map(str, layer["ranks"])) for n, layer in self.layers.items()}
        text = {f"achieved_ranks/{name}": rank for name, rank in ranks.items()}
        return {"achieved": self.achieved, **text}

    def named(self, model: nn.Module, image: Tensor | None) -> dict[str, Patterns]:
        names = [name for name, layer in model.named_modules() if isinstance(layer, WEIGHTED)]
        return {"factorize.exclude": (self.exclude, names)}

    def claims(self, model: nn.Module) -> list[str]:
        return list(self._layers(model))

    def promises(self) -> list[Promise]:
        if self.rule == "energy":
            return []
        if self.rule == "rank_ratio":
            return [self._ranks()]
        return [what_is_left(self.rule, self.value, self.before)]

    def _ranks(self) -> Promise:
        total = sum(sum(full) for full in self.full.values())

        def read(model: nn.Module, _: Tensor) -> float:
            parts = (list(model.get_submodule(name).children())[:-1] for name in self.full)
            return sum(len(p.get_parameter("weight")) for few in parts for p in few) / total

        rounding = sum(max(0.5, 1 - self.value) for full in self.full.values() for _ in full)
        what = f"of the highest ranks of {some(self.full)}"
        less = min(rounding / total, self.value / 2)
        return Promise("rank_ratio", self.value, what, read, less, rounding / total)

    def check(self, model: nn.Module, image: Tensor) -> None:
        self._layers(model)

    def _layers(self, model: nn.Module) -> dict[str, Layer]:
        """What can be replaced; fills ``skipped``."""
        layers, self.skipped = factorable(model, self.exclude)
        for name in [name for name in layers if name in self.taken]:
            del layers[name]
            self.skipped[name] = f"a product would not keep what {self.taken[name]} made of it"
        if not layers:
            allowed = "patterns that leave a layer to factorise"
            raise ConfigError("factorize.exclude", list(self.exclude), allowed, self._reasons())
        return layers

    @torch.no_grad()
    def prepare(self, model: nn.Module, calibration: CalibrationData | None = None) -> None:
        operations = calibration.operations if calibration is not None else ()
        if not operations:
            self.refuse_unmatched(model, None)
        self.taken = taken(operations)
        layers = self._layers(model)
        before = self._cost(model, calibration)
        options = self._options(model, layers, calibration)
        ranks = self._smaller(options, self._choose(options, before))
        if not ranks:
            allowed = "a value at which a layer gets smaller"
            raise ConfigError(f"factorize.{self.rule}", self.value, allowed, self._reasons())
        kept = [option for option in options if option.name in ranks]
        self.layers = {o.name: {"kind": o.kind, "ranks": ranks[o.name]} for o in kept}
        self.operations = [Factorized(self.layers)]
        self.operations[0].apply(model)
        for option in kept:
            option.fill(model.get_submodule(option.name), ranks[option.name])
        self.achieved = self._cost(model, calibration) / before
        self.reached, self.before = list(self.layers), before
        self.full = {o.name: tuple(o.kept.shape) for o in kept}

    def _options(
        self, model: nn.Module, layers: Mapping[str, Layer], calibration: CalibrationData | None
    ) -> list[RankOption]:
        kinds = {n: "svd" if pointwise(layer) else self.convolutions for n, layer in layers.items()}
        sites: dict[str, Positions] = {}
        moments: dict[str, Tensor] = {}
        if self.rule == "macs":
            sites = sites_of(model, layers, self._images(calibration, 1))
        if self.images:
            matrices = {name: layer for name, layer in layers.items() if kinds[name] == "svd"}
            moments = second_moments(model, matrices, self._images(calibration, self.images))
        return [
            RankOption(name, layer, kinds[name], sites.get(name, Positions()), moments.get(name))
            for name, layer in layers.items()
        ]

    def _choose(self, options: list[RankOption], before: int) -> dict[str, list[int] | None]:
        if self.rule == "energy":
            return {option.name: by_energy(option, self.value) for option in options}
        if self.rule == "rank_ratio":
            return {option.name: by_ratio(option, self.value) for option in options}
        return by_budget(options, before, self.rule, self.value)

    def _smaller(
        self, options: list[RankOption], chosen: Mapping[str, list[int] | None]
    ) -> dict[str, list[int]]:
        """Ranks by layer; a layer that would not get smaller goes to ``skipped``."""
        found = {}
        for option in options:
            ranks = chosen[option.name]
            if ranks is None:
                self.skipped[option.name] = "whole, it keeps more for what it costs"
            elif (cost := option.price(ranks)) >= option.whole:
                what = f"rank {'×'.join(map(str, ranks))} costs {cost:,}"
                self.skipped[option.name] = f"{what}, the layer {option.whole:,}"
            else:
                found[option.name] = ranks
        return found

    def _cost(self, model: nn.Module, calibration: CalibrationData | None) -> int:
        if self.rule == "macs":
            return compute(model, self._images(calibration, 1))["macs"]
        return size(model)["params"]

    def _images(self, calibration: CalibrationData | None, count: int) -> Tensor:
        if calibration is None:
            key, value = ("images", self.images) if self.images else (self.rule, self.value)
            raise ConfigError(f"factorize.{key}", value, "what needs no image: there is none")
        return calibration.sample(count)[0]

    def _reasons(self) -> str:
        return "; ".join(f"{name}: {why}" for name, why in self.skipped.items())


def taken(operations: Sequence[Operation]) -> dict[str, str]:
    """Layer → the word of the earlier stage whose zeros or codebook it holds."""
    found: dict[str, str] = {}
    for operation in operations:
        if isinstance(operation, Sparse | Shared):
            word = "prune" if isinstance(operation, Sparse) else "share"
            found |= dict.fromkeys(operation.layers, word)
    return found
