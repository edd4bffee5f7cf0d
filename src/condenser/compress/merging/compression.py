"""Merge similar neurons and channels into a smaller dense network."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from condenser.capture import evaluating
from condenser.compress.base import AtOnce, CalibrationData, Operation, Patterns
from condenser.compress.channels.compression import CutChannels
from condenser.compress.channels.operations import KeptChannels
from condenser.compress.groups import Side
from condenser.compress.masks.sparse import Sparse
from condenser.compress.merging.chain_weights import activations, incoming, outgoing, sides
from condenser.compress.merging.chains import LAYERS, Chain, chains
from condenser.compress.patterns import listed
from condenser.compress.promises import Promise, some
from condenser.compress.scores.random import Random
from condenser.errors import ConfigError, UnknownError, below_one, count, nonnegative
from condenser.functional.merging import (
    SIMILARITIES,
    eliminate,
    join,
    one_to_many,
    one_to_one,
    projected,
    rectified,
)

MODES = ("one_to_one", "one_to_many")


class Merging(AtOnce):
    """Remove redundant neurons (channels) and fold their outgoing weights into others.

    A removed neuron j leaves a_i += f_ij·a_j to those that stay. Layer by layer from the input,
    in every layer whose channels pass batch norm, activation and pooling to one other layer.
    Neurons go in the order of what is missed then, ‖v_j - stand-in‖²·‖a_j‖², and those that have
    taken over others' weights cost more. Weights that an earlier stage pruned stay zero.

    Args:
        similarity: what v is, and the Gram matrix of it. ``l2``: the incoming weights and bias,
            behind a batch norm as that scales them (Srinivas, Babu). ``cosine``: the same, but a
            neuron may be scaled (Kim et al.), which asks for f(s·x) = s·f(x): ReLU, leaky ReLU,
            pooling, none. ``activation``: what it gives on training images.
        mode: ``one_to_one``: f has one entry, at the most similar neuron. ``one_to_many``: all
            that stay stand in, by least squares; for ``cosine`` of the activations of the layer
            that are expected for normal inputs (Cho, Saul), so that no data are needed.
        rate: fraction of neurons to remove in each layer, in [0, 1).
        threshold: in place of the rate: neurons go while ‖v_j - stand-in‖² ≤ threshold·‖v_j‖².
        data: fit f to activations on training images, as what is left of the network gives them.
        images: how many.
        exclude: patterns of layer names whose neurons stay.

    Attributes:
        merged: layer → how many of its neurons are gone.
        skipped: layer → why its neurons cannot be merged.

    Raises:
        ConfigError: a value out of range; rate and threshold, or neither; in ``prepare``, no layer
            to merge, a layer that would lose all, images wanted and not there.

    Sources: Srinivas, Babu, "Data-free parameter pruning for deep neural networks", 2015,
    https://arxiv.org/abs/1507.06149; Kim, Kim, Park, Lee, "Neuron Merging: Compensating for Pruned
    Neurons", 2020, https://arxiv.org/abs/2010.15097; many for one: Lee, Kim, Choi, "Training-Free
    Restoration of Pruned Neural Networks", 2025, https://arxiv.org/abs/2502.08474
    """

    def __init__(
        self,
        similarity: str = "cosine",
        mode: str = "one_to_many",
        rate: float | None = None,
        threshold: float | None = None,
        data: bool = False,
        images: int = 1024,
        exclude: Sequence[str] = (),
    ) -> None:
        super().__init__()
        for key, word, known in (("similarity", similarity, SIMILARITIES), ("mode", mode, MODES)):
            if word not in known:
                raise UnknownError(f"merge.{key}", word, known)
        if (rate is None) == (threshold is None):
            allowed = "a number where merge.threshold is null, and null where it is not"
            raise ConfigError("merge.rate", "null" if rate is None else rate, allowed)
        if rate is not None:
            below_one("merge.rate", rate)
        if threshold is not None:
            nonnegative("merge.threshold", threshold)
        count("merge.images", images)
        self.similarity, self.mode, self.rate, self.threshold = similarity, mode, rate, threshold
        self.data, self.images = data, images
        self.exclude = listed("merge.exclude", exclude)
        self.needs_data = data or similarity == "activation"
        self.merged: dict[str, int] = {}

    def metrics(self) -> Mapping[str, str | float]:
        return {f"merged/{k}": v for k, v in self.merged.items()}

    def named(self, model: nn.Module, image: Tensor | None) -> dict[str, Patterns]:
        names = [name for name, layer in model.named_modules() if isinstance(layer, LAYERS)]
        return {"merge.exclude": (self.exclude, names)}

    def promises(self) -> list[Promise]:
        if self.rate is None:
            return []
        total, rounding = sum(self.widths.values()), 0.5 * len(self.widths)

        def gone(model: nn.Module, _: Tensor) -> float:
            left = (len(model.get_parameter(f"{name}.weight")) for name in self.widths)
            return 1 - sum(left) / total

        what = f"of the {total:,} neurons of {some(self.widths)} gone"
        less = min(rounding / total, self.rate / 2)
        return [Promise("rate", self.rate, what, gone, less, rounding / total)]

    def check(self, model: nn.Module, image: Tensor) -> None:
        self.find(model)

    @torch.no_grad()
    def prepare(self, model: nn.Module, calibration: CalibrationData | None = None) -> None:
        if self.needs_data and calibration is None:
            key, value = ("data", True) if self.data else ("similarity", self.similarity)
            allowed = "false or l2 or cosine where there are no training images"
            raise ConfigError(f"merge.{key}", value, allowed)
        if calibration is None or not calibration.operations:
            self.refuse_unmatched(model, None)
        found = self.find(model)
        self.reached = [name for chain in found for name in (chain.layer, chain.reader)]
        self.widths = {c.layer: len(model.get_parameter(f"{c.layer}.weight")) for c in found}
        sparse = (
            [op for op in calibration.operations if isinstance(op, Sparse)] if calibration else []
        )
        self.zeros = {layer for op in sparse for layer in op.layers}
        images = (
            calibration.sample(self.images)[0]
            if calibration is not None and self.needs_data
            else None
        )
        gone: dict[Side, Tensor] = {}
        self.merged = {}
        with evaluating(model):
            for chain in found:
                removed = self.merge(model, chain, images)
                self.merged[chain.layer] = len(removed)
                if len(removed):
                    gone |= sides(chain, removed)
        done = KeptChannels.without(model, gone)
        done.apply(model)
        self.operations = [done] if gone else []

    def find(self, model: nn.Module) -> list[Chain]:
        """The layers to merge, refused where none is left or one would lose all its neurons."""
        found, self.skipped = chains(model, self.exclude)
        scaled = not self.needs_data and (self.similarity, self.mode) != ("l2", "one_to_one")
        for chain in [chain for chain in found if scaled and chain.slope is None]:
            self.skipped[chain.layer] = "its activation does not keep a factor, f(s·x) = s·f(x)"
            found.remove(chain)
        if not found:
            why = "; ".join(f"{name}: {reason}" for name, reason in list(self.skipped.items())[:3])
            raise ConfigError("merge.exclude", self.exclude, "patterns that leave a layer", why)
        for chain in found:
            width = len(model.get_parameter(f"{chain.layer}.weight"))
            if self.rate is not None and round(self.rate * width) >= width:
                allowed = f"a rate that leaves a neuron in every layer ({chain.layer} has {width})"
                raise ConfigError("merge.rate", self.rate, allowed)
        return found

    def merge(self, model: nn.Module, chain: Chain, images: Tensor | None) -> Tensor:
        """Fold the outgoing weights in place, zero those of the removed, and say which they are."""
        rows, behind = incoming(model, chain), outgoing(model, chain)
        blocks = behind.detach().cpu().double().transpose(0, 1).flatten(1)
        seen = None if images is None else activations(model, chain, images)
        kept, removed, fold = self.choose(chain, rows @ rows.T, seen, blocks @ blocks.T)
        given = torch.einsum("rd,kr->kd", blocks[removed], fold).view(len(kept), *behind.shape[::2])
        given = given.transpose(0, 1).to(behind)
        if chain.reader in self.zeros:  # what was pruned takes nothing over
            given = given * (behind[:, kept] != 0)
        behind[:, kept] += given
        behind[:, removed] = 0
        return removed

    def choose(
        self, chain: Chain, weights: Tensor, seen: Tensor | None, outgoing: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Kept, removed, and the (kept, removed) fold, from three Gram matrices."""
        gram = weights
        if self.similarity == "activation":
            assert seen is not None
            gram = seen
        count, limit = len(gram) - 1, self.threshold or 0.0
        if self.rate is not None:
            count, limit = round(self.rate * len(gram)), math.inf
        if self.mode == "one_to_many":
            if self.similarity == "cosine" and chain.slope is not None:
                gram = rectified(gram, chain.slope)
            kept, removed = parts(gram, eliminate(gram, outgoing, count, limit))
            return kept, removed, one_to_many(gram if seen is None else seen, kept, removed)
        pairs = SIMILARITIES[self.similarity](gram)
        kept, removed = parts(gram, join(pairs, gram.diagonal(), outgoing, count, limit))
        fit = pairs.scale if seen is None else projected(seen).scale
        return kept, removed, one_to_one(pairs, fit, kept, removed)

    def random_baseline(
        self, made: nn.Module, operations: Sequence[Operation], seed: int
    ) -> CutChannels | None:
        """Remove as many neurons per layer, without folding."""
        return CutChannels(Random(seed), rate=0).random_baseline(made, operations, seed)


def parts(gram: Tensor, removed: list[int]) -> tuple[Tensor, Tensor]:
    """Kept and removed as ascending indices."""
    mask = torch.zeros(len(gram), dtype=torch.bool)
    mask[removed] = True
    return (~mask).nonzero().flatten(), mask.nonzero().flatten()
