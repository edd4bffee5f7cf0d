"""The groups of channels of a network that can be cut, and why the others cannot."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from condenser.compress.channels.chains import chain_groups
from condenser.compress.channels.dependency_graph import Coupling, Tracer
from condenser.compress.channels.verify import agrees
from condenser.compress.groups import OUT, ROOTS, Group, Side, Slice, depthwise
from condenser.compress.patterns import matches

Found = tuple[list[Group], dict[str, str]]  # the groups, and layer → why it is in none


def channel_groups(model: nn.Module, image: Tensor, exclude: Sequence[str] = ()) -> Found:
    """Groups that can be cut without changing what is left, and for each other layer the reason.

    The dependency graph is Torch-Pruning's; the walk over it is ours, since theirs does not end on
    a Swin transformer. A group is refused when its channels are the logits, pass a normalisation
    across channels (whose mean would change), a grouped convolution or a parameter of no layer;
    when ``exclude`` names one of its layers; and when cutting it does not equal zeroing it, which
    is tried with random weights. Where the graph cannot be had, straight chains are found without.

    Args:
        image: (1, C, H, W).

    Source: Fang et al., "DepGraph: Towards Any Structural Pruning", 2023,
    https://arxiv.org/abs/2301.12900
    """
    try:
        tracer = Tracer(model, image)
    except Exception as error:  # whatever a tracer trips over
        return straight(model, image, exclude, f"{type(error).__name__}: {error}")
    groups, skipped = [], {}
    covered: set[tuple[str, str, int]] = set()
    for name, layer in model.named_modules():
        if not isinstance(layer, ROOTS) or depthwise(layer):
            continue
        free = [c for c in range(layer.weight.shape[0]) if (name, OUT, c) not in covered]
        if not free:
            continue
        reach = tracer.reach(name, free)
        covered |= {(*side, place) for side, places in reach.sides.items() for place in places}
        reason = reach.refusal or excluded(reach.sides, exclude)
        if not reason and len(free) > 1:
            groups.append(as_group(name, free, reach))
        else:
            skipped[name] = reason or "it has one channel"
    return proven(model, image, groups, skipped)


def straight(model: nn.Module, image: Tensor, exclude: Sequence[str], error: str) -> Found:
    """The groups that need no graph; for all other layers the reason is that there is none."""
    groups = [group for group in chain_groups(model) if group.size > 1]
    reason = f"torch-pruning cannot trace the network ({error}), and it is in no straight chain"
    layers = [name for name, layer in model.named_modules() if isinstance(layer, ROOTS)]
    skipped = dict.fromkeys(layers, reason)
    for group in groups:
        del skipped[group.name]
        if why := excluded(((part.layer, part.side) for part in group.slices), exclude):
            skipped[group.name] = why
    return proven(model, image, [g for g in groups if g.name not in skipped], skipped)


def excluded(sides: Iterable[Side], exclude: Sequence[str]) -> str:
    """The reason, when a pattern names a layer whose outputs belong to the group."""
    made = [layer for layer, side in sides if side == OUT]
    hit = [layer for layer in made if matches(layer, exclude)]
    return f"exclude names {hit[0]}" if hit else ""


def as_group(name: str, free: list[int], reach: Coupling) -> Group:
    """The reach as tensors, channels numbered from 0."""
    number = {channel: index for index, channel in enumerate(free)}
    slices = []
    for (layer, side), places in sorted(reach.sides.items()):
        order = sorted(places)
        numbers = torch.tensor([number[places[p]] for p in order])
        slices.append(Slice(layer, side, torch.tensor(order), numbers))
    return Group(name, len(free), tuple(slices))


def proven(model: nn.Module, image: Tensor, groups: list[Group], skipped: dict[str, str]) -> Found:
    """Only the groups whose cut equals their zeroing: all at once, or else one after the other."""
    if not groups or agrees(model, image, groups):
        return groups, skipped
    good = [group for group in groups if agrees(model, image, [group])]
    if good and not agrees(model, image, good):
        together: list[Group] = []
        for group in good:  # each alone is right: those that are so beside one another
            if agrees(model, image, [*together, group]):
                together.append(group)
        good = together
    reason = "cutting it by torch-pruning's graph does not equal zeroing it"
    return good, skipped | {g.name: reason for g in groups if g not in good}
