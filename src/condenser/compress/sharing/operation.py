"""The operation that sharing leaves behind: weights as a codebook and labels."""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from condenser.compress.base import Operation, Projection, State
from condenser.compress.masks.sparse import prunable, replaced
from condenser.compress.sharing.tied import Tied, tied
from condenser.functional.clustering import bits_for, nearest, pack_labels, unpack_labels
from condenser.functional.pruning import pack_bits, unpack_bits

SHAPE = "labels_shape"  # a later pruning has a shape of its own


@dataclass(frozen=True)
class Shared(Operation):
    """These layers' weights are at most 2^bits numbers, and zero; later training moves the numbers.

    Stored as a codebook and labels of as few bits as it takes, where that is smaller. Zeros have no
    label but a bit a weight of their own, if there are any: after pruning most weights are zero.
    ``across``: one codebook for all. Of a layer that was quantised since, the codes are stored so;
    one that later has more numbers is stored and trained as any other.
    """

    layers: Sequence[str]
    bits: int
    across: bool = False

    def encode(self, state: State) -> State:
        packed = dict(state)
        for names in groups([n for n in self.layers if f"{n}.weight" in packed], self.across):
            weights = {name: packed[f"{name}.weight"] for name in names}
            book = self._book(weights)
            if book is None:
                continue
            coded = {self._key(names[0], "codebook"): book}
            for name, weight in weights.items():
                coded |= self._encode(name, weight, book)
            if nbytes(coded) < nbytes(weights):
                for name in names:
                    del packed[f"{name}.weight"]
                packed |= coded
        return packed

    def decode(self, state: State) -> State:
        whole = dict(state)
        coded = [name for name in self.layers if self._key(name, "labels") in whole]
        for names in groups(coded, self.across):
            book = whole.pop(self._key(names[0], "codebook"))
            for name in names:
                whole[f"{name}.weight"] = self._decode(name, whole, book)
        return whole

    def violations(self, before: State, after: State) -> list[str]:
        """Weights in which two tied entries differ and neither is zero."""
        whole = {n: f"{n}.weight" for n in self.layers if real(before, n) and real(after, n)}
        torn = []
        for names in groups(list(whole), self.across):
            was = torch.cat([before[whole[name]].flatten() for name in names])
            now = torch.cat([after[whole[name]].flatten() for name in names])
            values, label = was.unique(return_inverse=True)
            alive = (was != 0) & (now != 0)
            if self._few(values[values != 0]) is None or not alive.any():
                continue
            pairs = torch.stack([label[alive].double(), now[alive].double()]).unique(dim=1)
            if pairs.shape[1] > len(label[alive].unique()):
                torn += [whole[name] for name in names]
        return torn + replaced(self.layers, after)

    def constraint(self, model: nn.Module) -> Projection | None:
        weights = {}
        for name, weight in prunable(model).items():
            if name in self.layers and not tied(weight):
                weights[name] = weight
        labels, book = label(weights, self.across, lambda values: self._few(values.unique()))
        if not labels:
            return None
        return Tied({name: weights[name] for name in labels}, labels, book).project

    def _few(self, book: Tensor) -> Tensor | None:
        return book if 0 < len(book) <= 2**self.bits else None

    def _book(self, weights: Mapping[str, Tensor]) -> Tensor | None:
        return self._few(torch.cat([w[w != 0] for w in weights.values()]).unique())

    def _key(self, name: str, what: str) -> str:
        """Where a layer's part is kept; one codebook for all goes by the layers it is for."""
        if not self.across:
            return f"{name}.weight.{what}"
        every = f"{zlib.crc32(','.join(self.layers).encode()):08x}"
        return f"shared.{every}.{what}" if what == "codebook" else f"{name}.weight.{what}.{every}"

    def _encode(self, name: str, weight: Tensor, book: Tensor) -> State:
        alive = weight != 0
        labels = torch.searchsorted(book, weight[alive])
        coded = {
            "labels": pack_labels(labels, bits_for(len(book))),
            SHAPE: torch.tensor(weight.shape, dtype=torch.int32),
        }
        if not alive.all():
            coded["nonzero"] = pack_bits(alive)
        return {self._key(name, what): value for what, value in coded.items()}

    def _decode(self, name: str, coded: State, book: Tensor) -> Tensor:
        labels = coded.pop(self._key(name, "labels"))
        known = SHAPE if self._key(name, SHAPE) in coded else "shape"  # as it was called before
        shape = coded.pop(self._key(name, known))
        weight = torch.zeros(math.prod(shape.tolist()), dtype=book.dtype)
        mask = coded.pop(self._key(name, "nonzero"), None)
        alive = torch.ones(len(weight)).bool() if mask is None else unpack_bits(mask, len(weight))
        found = unpack_labels(labels, bits_for(len(book)), int(alive.sum()))
        weight[alive] = book[found.long()]
        return weight.view(shape.tolist())


def label(
    weights: Mapping[str, Tensor], across: bool, choose: Callable[[Tensor], Tensor | None]
) -> tuple[dict[str, Tensor], Tensor]:
    """Labels by layer, 0 where a weight is zero, and the codebook they count through.

    ``choose`` gives the centroids, ascending, of non-zero values, or None to leave them alone.
    """
    labels: dict[str, Tensor] = {}
    books = [torch.zeros(1)]
    for names in groups(list(weights), across):
        chosen = choose(torch.cat([weights[n].detach()[weights[n] != 0] for n in names]))
        if chosen is None:
            continue
        start = sum(map(len, books))
        for name in names:
            near = nearest(weights[name], chosen) + start
            labels[name] = near.masked_fill(weights[name] == 0, 0)
        books.append(chosen.to(weights[names[0]].dtype))
    return labels, torch.cat([book.to(books[-1]) for book in books])


def groups(names: list[str], across: bool) -> list[list[str]]:
    """Which layers share a codebook."""
    if across:
        return [names] if names else []
    return [[name] for name in names]


def real(state: State, layer: str) -> bool:
    """Whether the layer is there, with a weight that is not coded otherwise."""
    weight = state.get(f"{layer}.weight")
    return weight is not None and weight.is_floating_point()


def nbytes(tensors: Mapping[str, Tensor]) -> int:
    return sum(t.nbytes for t in tensors.values())
