"""Units that can be pruned independently: a layer's weights, or channels of coupled layers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from condenser.compress.channels import Group, removed, zero
from condenser.compress.channels.graph import channel_groups
from condenser.compress.groups import OUT, ROOTS
from condenser.compress.masks.sparse import prunable
from condenser.compress.scores import Norm
from condenser.functional.pruning import keep_largest

Found = tuple[list["PrunableUnit"], dict[str, str]]  # the units, and layer → why it has none


@dataclass(frozen=True, eq=False)
class PrunableUnit:
    """A unit that is pruned as a whole.

    Attributes:
        layers: whose weights it prunes.
        size: how many weights or channels it has.
        prune: zeroes a given number of them in place, least important first.
        tensors: everything that ``prune`` writes to.
    """

    name: str
    layers: tuple[str, ...]
    size: int
    prune: Callable[[int], object]
    tensors: tuple[Tensor, ...]


def weight_units(model: nn.Module, exclude: Sequence[str] = ()) -> Found:
    """A unit per weight of a linear or convolution layer; a shared weight is one unit,
    under its first name.

    The smallest |w| go first.
    """
    units: list[PrunableUnit] = []
    left: dict[str, str] = {}
    for name, parameter in prunable(model, exclude).items():
        weight = parameter.data
        if weight.any():
            units.append(PrunableUnit(name, (name,), weight.numel(), by_size(weight), (weight,)))
        else:
            left[name] = "all its weights are zero already"
    return units, left


def by_size(weight: Tensor) -> Callable[[int], object]:
    """Zero the smallest entries of the current weight."""
    scores = weight.abs()
    return lambda count: weight.masked_fill_(~keep_largest(scores, count / scores.numel()), 0)


def channel_units(model: nn.Module, image: Tensor, exclude: Sequence[str] = ()) -> Found:
    """A unit per group of channels that can only be removed together.

    Layers joined by a residual sum, and a depthwise convolution with what feeds it, are one unit,
    named after the first. Zeroing a channel (its filters, biases, batch norms and what reads it) is
    what cutting it would compute. The smallest l2 norm of a channel's filters goes first.

    Args:
        image: (1, C, H, W).
    """
    groups, left = channel_groups(model, image, exclude)
    scores = Norm(p=2, relative=False).channels(model, groups, None)
    return [channel_unit(model, group, scores[group.name]) for group in groups], left


def channel_unit(model: nn.Module, group: Group, scores: Tensor) -> PrunableUnit:
    """The unit of one group, ``scores`` (channels,)."""

    def prune(count: int) -> None:
        kept = keep_largest(scores, count / group.size)
        zero(model, removed([group], {group.name: kept}))

    touched = dict.fromkeys(part.layer for part in group.slices)
    modules = [model.get_submodule(name) for name in touched]
    tensors = [p.data for module in modules for p in module.parameters(recurse=False)]
    makes = dict.fromkeys(part.layer for part in group.slices if part.side == OUT)
    layers = tuple(name for name in makes if isinstance(model.get_submodule(name), ROOTS))
    return PrunableUnit(group.name, layers, group.size, prune, tuple(tensors))
