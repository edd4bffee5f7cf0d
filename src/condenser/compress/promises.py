"""Targets of a compression, verified by reading the achieved amount from the weights."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from math import inf

from torch import Tensor, nn

from condenser.measure import compute, size

SHOWN = 4  # layers that a sentence names


@dataclass(frozen=True)
class Promise:
    """A requested amount, and how to read it from the resulting network.

    Attributes:
        key: the setting that asked, below the stage's section.
        asked: how much.
        what: of what, as the end of a sentence.
        read: (network, image (1, C, H, W)) → how much is there.
        less, more: by how much it may miss: what rounding to whole weights, channels or blocks
            makes of it.
    """

    key: str
    asked: float
    what: str
    read: Callable[[nn.Module, Tensor], float]
    less: float = 0.0
    more: float = 0.0

    def kept(self, amount: float) -> bool:
        exact = 1e-6 * max(1.0, abs(self.asked))  # of float arithmetic
        return self.asked - self.less - exact <= amount <= self.asked + self.more + exact

    def broken(self, amount: float) -> str:
        """The message if it was not achieved."""
        bound = "at most " if self.less == inf else ""
        return f"{self.key} asks for {bound}{self.asked:.6g} {self.what}; it is {amount:.6g}"


def at_most(
    key: str, asked: float, what: str, read: Callable[[nn.Module, Tensor], float]
) -> Promise:
    """A budget: less will do."""
    return Promise(key, asked, what, read, less=inf)


def what_is_left(key: str, share: float, before: int) -> Promise:
    """At most this fraction of the original MACs or parameters."""
    what = {"macs": "MACs", "params": "parameters"}[key]

    def read(model: nn.Module, image: Tensor) -> float:
        return (compute(model, image) | size(model))[key] / before

    return at_most(key, share, f"of {before:,} {what}", read)


def some(names: Iterable[str]) -> str:
    """A few of the layers: ``conv1, conv2 and 7 more``."""
    found = list(names)
    more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    return ", ".join(found[:SHOWN]) + more


def values(weight: Tensor) -> int:
    """Number of distinct non-zero values of the tensor."""
    return int(weight[weight != 0].unique().numel())


def values_of_a_row(weight: Tensor) -> int:
    """Largest number of distinct values, zero included, in one output channel of the weight."""
    ordered = weight.flatten(1).sort(1).values
    return int((ordered[:, 1:] != ordered[:, :-1]).sum(1).max()) + 1
