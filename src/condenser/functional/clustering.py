"""Weight sharing: 1-D k-means over a tensor's values, and labels packed to bits."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from condenser.functional.pruning import pack_bits, unpack_bits

Init = Callable[[Tensor, int], Tensor]


def distinct(weights: Tensor) -> int:
    """Number of distinct values, zero included."""
    return weights.unique().numel()


def linear(values: Tensor, count: int) -> Tensor:
    """Evenly spaced between minimum and maximum: rare large weights get centroids too."""
    return torch.linspace(
        values.min().item(), values.max().item(), count, dtype=values.dtype, device=values.device
    )


def density(values: Tensor, count: int) -> Tensor:
    """Quantiles F⁻¹((i + ½)/count) of the values: equally many values per centroid."""
    ranks = (torch.arange(count, device=values.device) + 0.5) / count * values.numel()
    return values.sort().values[ranks.long()]


def random(values: Tensor, count: int) -> Tensor:
    """``count`` of the values, drawn without replacement from torch's global generator."""
    return values[torch.randperm(values.numel())[:count].to(values.device)]


INITS: dict[str, Init] = {"linear": linear, "density": density, "random": random}


def codebook(values: Tensor, count: int, init: Init) -> Tensor:
    """At most ``count`` centroids of the values, ascending, in float64.

    With ``count`` or fewer distinct values, the values themselves: sharing is idempotent.

    Args:
        values: (n,), n ≥ 1.
        init: (values, count) → first centroids.
    """
    values = values.detach().flatten().double().sort().values
    known = values.unique_consecutive()
    return known if known.numel() <= count else kmeans(values, init(values, count))


def kmeans(values: Tensor, centroids: Tensor, iterations: int = 1000) -> Tensor:
    """Lloyd's algorithm from ``centroids`` until convergence: a local minimum of Σ(v - c(v))².

    On a line a cluster is an interval between midpoints, so that sorted once, values need not be
    visited again: an iteration costs (centroids · log values). A centroid without members starts
    again from the value that is farthest from its own.

    Args:
        values: (n,) float64.
        centroids: (k,) float64, k < n.

    Returns:
        (k,) in ascending order.

    Source: Lloyd, "Least squares quantization in PCM", 1982,
    https://doi.org/10.1109/TIT.1982.1056489
    """
    values, centroids = values.sort().values, centroids.sort().values
    below = torch.cat([values.new_zeros(1), values.cumsum(0)])
    for _ in range(iterations):
        ends = torch.searchsorted(values, midpoints(centroids), right=True)
        bounds = torch.cat([ends.new_zeros(1), ends, ends.new_full((1,), values.numel())])
        count, total = bounds.diff(), below[bounds].diff()
        if (count == 0).any():
            _refill(values, centroids, count, total)
        moved = torch.where(count > 0, total / count, centroids).sort().values
        if torch.equal(moved, centroids):
            break
        centroids = moved
    return centroids


def _refill(values: Tensor, centroids: Tensor, count: Tensor, total: Tensor) -> None:
    """Reseed each empty cluster, in place, with one of the values farthest from its centroid."""
    owner = torch.repeat_interleave(torch.arange(len(count), device=count.device), count)
    empty = (count == 0).nonzero().flatten()
    far = (values - centroids[owner]).abs().topk(len(empty)).indices
    count.index_add_(0, owner[far], count.new_full((len(far),), -1))
    total.index_add_(0, owner[far], -values[far])
    count[empty], total[empty] = 1, values[far]


def midpoints(centroids: Tensor) -> Tensor:
    """(k - 1,) borders between neighbours; a value on a border belongs to the lower one."""
    return (centroids[1:] + centroids[:-1]) / 2


def nearest(values: Tensor, centroids: Tensor) -> Tensor:
    """The index of each value's nearest centroid (ascending), int64 of the values' shape."""
    return torch.searchsorted(midpoints(centroids.double()), values.detach().double().contiguous())


def bits_for(count: int) -> int:
    """Bits needed to index ``count`` values, at least 1."""
    return max((count - 1).bit_length(), 1)


def pack_labels(labels: Tensor, bits: int) -> Tensor:
    """n whole numbers in [0, 2^bits) as ⌈n·bits/8⌉ bytes, the lowest bit of the first one first.

    bits is at most 8.
    """
    return pack_bits((labels.flatten().to(torch.uint8).unsqueeze(1) >> _places(bits, labels)) & 1)


def unpack_labels(packed: Tensor, bits: int, count: int) -> Tensor:
    """The first ``count`` numbers of what ``pack_labels`` packed, uint8, flat."""
    planes = unpack_bits(packed, count * bits).view(count, bits).to(torch.uint8)
    return (planes << _places(bits, packed)).sum(dim=1, dtype=torch.uint8)


def _places(bits: int, like: Tensor) -> Tensor:
    return torch.arange(bits, dtype=torch.uint8, device=like.device)
