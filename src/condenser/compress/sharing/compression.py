"""K-means weight sharing with trained centroids."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from condenser.compress.base import CalibrationData, Compression, Operation, Patterns, State
from condenser.compress.masks.sparse import prunable, weighted
from condenser.compress.patterns import listed
from condenser.compress.promises import Promise, at_most, some, values
from condenser.compress.sharing.operation import Shared, label
from condenser.compress.sharing.tied import Tied
from condenser.errors import ConfigError, UnknownError
from condenser.functional.clustering import INITS, codebook


class KMeansSharing(Compression):
    """Replace weights by the nearest of 2^bits centroids, then train the centroids.

    Centroids minimise Σ(w - c)² over the non-zero weights of a layer. Zeros stay zero and are not
    counted: after pruning they are coded apart. The gradient of a centroid is the sum of its
    members' gradients. Mind the learning rate: under SGD a centroid of n members goes n times as
    far as it would by their mean gradient, so that a rate for single weights is divided by about
    the members of a cluster; a step of AdamW does not depend on it.

    Args:
        bits: of a label, 1 to 8.
        init: first centroids: linear (evenly from least to greatest), density (evenly in the
            distribution function) or random (some of the weights).
        across: one codebook for all layers, or (false) one for each.
        train: whether training moves the centroids.
        exclude: patterns of layer names that are left alone.

    Raises:
        ConfigError: bits out of range, an unknown init, no layer left.

    Source: Han, Mao, Dally, "Deep Compression: Compressing Deep Neural Networks with Pruning,
    Trained Quantization and Huffman Coding", 2016, https://arxiv.org/abs/1510.00149
    """

    def __init__(
        self,
        bits: int,
        init: str = "linear",
        across: bool = False,
        train: bool = True,
        exclude: Sequence[str] = (),
    ) -> None:
        if type(bits) is not int or not 1 <= bits <= 8:
            raise ConfigError("share.bits", bits, "a whole number from 1 to 8")
        if init not in INITS:
            raise UnknownError("share.init", init, INITS)
        self.bits, self.init, self.across = bits, INITS[init], across
        self.train, self.exclude = train, listed("share.exclude", exclude)

    def named(self, model: nn.Module, image: Tensor | None) -> dict[str, Patterns]:
        return {"share.exclude": (self.exclude, [name for name, _ in weighted(model)])}

    def claims(self, model: nn.Module) -> list[str]:
        return list(self._select(model))

    def check(self, model: nn.Module, image: Tensor) -> None:
        self._select(model)

    def _select(self, model: nn.Module) -> dict[str, nn.Parameter]:
        weights = prunable(model, self.exclude)
        if not weights:
            raise ConfigError("share.exclude", self.exclude, "patterns that leave a layer to share")
        return weights

    @torch.no_grad()
    def prepare(self, model: nn.Module, calibration: CalibrationData | None = None) -> None:
        if calibration is None or not calibration.operations:
            self.refuse_unmatched(model, None)
        weights = self._select(model)
        labels, book = label(weights, self.across, self._centroids)
        self.reached, self.tied = list(weights), Tied(weights, labels, book, self.train)
        for name, weight in weights.items():
            weight.copy_(book[labels[name]])

    def _centroids(self, values: Tensor) -> Tensor:
        return codebook(values, 2**self.bits, self.init)

    def step(self, progress: float) -> None:
        self.tied.project()

    @property
    def ready(self) -> bool:
        return True

    def state(self) -> State:
        labels = {f"labels/{name}": label.int() for name, label in self.tied.labels.items()}
        return {**labels, "codebook": self.tied.codebook}

    def restore(self, state: State) -> None:
        labels = {name: state[f"labels/{name}"] for name in self.tied.weights}
        self.tied.set(labels, state["codebook"])

    def finish(self) -> list[Operation]:
        return [Shared(list(self.reached or ()), self.bits, self.across)]

    def promises(self) -> list[Promise]:
        names = list(self.reached or ())

        def read(model: nn.Module, _: Tensor) -> float:
            weights = [model.get_parameter(f"{name}.weight").detach() for name in names]
            if self.across:
                return values(torch.cat([weight.flatten() for weight in weights]))
            return max(values(weight) for weight in weights)

        where = "in all of" if self.across else "in each of"
        what = f"different values but 0 {where} {some(names)}"
        return [at_most("bits", 2**self.bits, what, read)]
