"""Weight pruning: single weights become zero and stay zero."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch

import torch
from torch import Tensor, nn

from condenser.compress.base import Compression, Operation, Probe, Project, State
from condenser.errors import ConfigError
from condenser.functional.pruning import keep_across, pack_bits, unpack_bits
from condenser.functional.schedules import cubic

Criterion = Callable[[str, nn.Parameter], Tensor]
Scope = Callable[[dict[str, Tensor], float], dict[str, Tensor]]


@dataclass(frozen=True)
class Sparse(Operation):
    """The zeros in these layers' weights are structure: they stay zero in later training.

    Stored as a bit a weight and the values of the others, where that is smaller.
    """

    layers: Sequence[str]

    def encode(self, state: State) -> State:
        packed = dict(state)
        for name in (f"{layer}.weight" for layer in self.layers):
            if f"{name}.mask" in packed:  # by a later pruning of the same layer
                continue
            weight = packed[name]
            bits, values = pack_bits(weight != 0), weight[weight != 0]
            if bits.nbytes + values.nbytes < weight.nbytes:
                shape = torch.tensor(weight.shape, dtype=torch.int32)
                packed |= {name: values, f"{name}.mask": bits, f"{name}.shape": shape}
        return packed

    def decode(self, state: State) -> State:
        whole = dict(state)
        for name in (f"{layer}.weight" for layer in self.layers):
            if f"{name}.mask" in whole:
                bits, shape = whole.pop(f"{name}.mask"), whole.pop(f"{name}.shape").tolist()
                mask = unpack_bits(bits, math.prod(shape)).view(shape)
                weight = torch.zeros(shape, dtype=whole[name].dtype)
                whole[name] = weight.masked_scatter_(mask, whole[name])
        return whole

    def hold(self, model: nn.Module) -> Project:
        weights = [model.get_parameter(f"{name}.weight") for name in self.layers]
        masks = [(w != 0).to(w.dtype) for w in weights]
        return lambda: zero(weights, masks)


def zero(weights: Sequence[nn.Parameter], masks: list[Tensor]) -> None:
    """Zero what the masks drop, in place, wherever the trainer has put the weights since."""
    if masks[0].device != weights[0].device:
        masks[:] = [mask.to(weights[0].device) for mask in masks]
    torch._foreach_mul_([w.data for w in weights], masks)


def prunable(model: nn.Module, exclude: Sequence[str] = ()) -> dict[str, nn.Parameter]:
    """Weights of linear and convolution layers by layer name, but for ``exclude`` (patterns)."""
    kinds = (nn.Linear, nn.modules.conv._ConvNd)
    return {
        name: model.get_parameter(f"{name}.weight")
        for name, layer in model.named_modules()
        if isinstance(layer, kinds) and not any(fnmatch(name, pattern) for pattern in exclude)
    }


class WeightPruning(Compression):
    """Drop the least important weights until ``rate`` of them are zero.

    The zeros grow from what the model already has to ``rate`` as
    s(p) = s₀ + (rate - s₀)·schedule(p / until), in ``updates`` equal moves, and are held at zero
    in between. A dropped weight scores lowest from then on, so it does not come back.

    Args:
        rate: fraction of zeros among the prunable weights at the end, in [0, 1).
        criterion: (layer name, weight) → scores of the weight's shape, high = keep.
        scope: (scores by layer, rate) → masks: across all layers, or within each.
        schedule: [0, 1] → [0, 1].
        until: part of training after which the zeros are fixed, in [0, 1); the rest fine-tunes.
        updates: how many times the masks move.
        exclude: patterns of layer names that are left alone.

    Raises:
        ConfigError: rate or until out of range; a rate that would leave a layer empty.
    """

    def __init__(
        self,
        rate: float,
        criterion: Criterion,
        scope: Scope = keep_across,
        schedule: Callable[[float], float] = cubic,
        until: float = 0.5,
        updates: int = 20,
        exclude: Sequence[str] = (),
    ) -> None:
        if not 0 <= rate < 1:
            raise ConfigError("prune.rate", rate, "a number from 0 up to, not including, 1")
        if not 0 <= until < 1:
            raise ConfigError("prune.until", until, "a number from 0 up to, not including, 1")
        self.rate, self.criterion, self.scope, self.schedule = rate, criterion, scope, schedule
        self.until, self.updates, self.exclude = until, max(updates, 1), exclude
        self.moves = -1

    def prepare(self, model: nn.Module, probe: Probe | None = None) -> None:
        self.weights = prunable(model, self.exclude)
        if not self.weights:
            raise ConfigError("prune.exclude", self.exclude, "patterns that leave a layer to prune")
        self.start = sparsity(self.weights)
        self.moves = -1
        evenly = {n: torch.linspace(0, 1, w.numel()).view_as(w) for n, w in self.weights.items()}
        self._refuse_empty(self.scope(evenly, self.rate))  # what must fail fails before training
        self.step(0.0)

    def step(self, progress: float) -> None:
        moves = (
            self.updates if progress >= self.until else int(progress / self.until * self.updates)
        )
        if moves > self.moves:
            self.moves = moves
            share = self.schedule(moves / self.updates)
            self._choose(max(self.start, self.start + (self.rate - self.start) * share))
        zero(list(self.weights.values()), self.masks)

    @property
    def ready(self) -> bool:
        return self.moves >= self.updates

    def state(self) -> State:
        masks = dict(zip(self.weights, self.masks, strict=True))
        return {**masks, "moves": torch.tensor(self.moves)}

    def restore(self, state: State) -> None:
        self.moves = int(state["moves"])
        self.masks = [state[name].to(w.device) for name, w in self.weights.items()]

    def finish(self) -> list[Operation]:
        return [Sparse(list(self.weights))]

    def _choose(self, rate: float) -> None:
        scores = {
            name: self.criterion(name, w).detach().masked_fill(w == 0, -torch.inf)
            for name, w in self.weights.items()
        }
        masks = self.scope(scores, rate)
        self._refuse_empty(masks)
        self.masks = [masks[name].to(w.dtype) for name, w in self.weights.items()]

    def _refuse_empty(self, masks: dict[str, Tensor]) -> None:
        empty = ", ".join(name for name, mask in masks.items() if not mask.any())
        if empty:
            allowed = f"a rate that leaves weights in every layer ({empty} would be empty)"
            hint = "exclude the layer, or take prune=magnitude_per_layer"
            raise ConfigError("prune.rate", self.rate, allowed, hint)


def sparsity(weights: dict[str, nn.Parameter]) -> float:
    """Fraction of exact zeros, read from the weights."""
    total = sum(w.numel() for w in weights.values())
    return 1 - sum(int(w.count_nonzero()) for w in weights.values()) / total
