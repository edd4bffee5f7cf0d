"""Groups in straight chains, for networks that Torch-Pruning cannot trace."""

from __future__ import annotations

from collections import Counter

import torch
from torch import fx, nn

from condenser.compress.groups import IN, OUT, ROOTS, Group, Slice, channels, depthwise


def chain_groups(model: nn.Module) -> list[Group]:
    """A layer, what only it leads to, and the one layer that reads it: the inside of a branch.

    Between them may be batch norms, depthwise convolutions and modules without parameters, each
    called once and read once. None where torch.fx cannot trace the network.
    """
    try:
        graph = fx.symbolic_trace(model).graph
    except Exception:  # whatever a tracer trips over
        return []
    modules = dict(model.named_modules())
    calls = Counter(str(node.target) for node in graph.nodes if node.op == "call_module")
    groups = []
    for node in graph.nodes:
        name = str(node.target)
        if node.op == "call_module" and isinstance(modules[name], ROOTS) and plain(modules[name]):
            chain = follow(node, modules)
            if chain and all(calls[link] == 1 for link in (name, *chain)):
                groups.append(as_group(name, chain, modules))
    return groups


def follow(node: fx.Node, modules: dict[str, nn.Module]) -> list[str]:
    """Names of the modules after this one, up to the layer that reads it; empty if none does."""
    chain: list[str] = []
    while len(node.users) == 1:
        (node,) = node.users
        if node.op != "call_module":
            break
        chain.append(str(node.target))
        layer = modules[chain[-1]]
        if isinstance(layer, ROOTS) and plain(layer):
            return chain
        bare = not list(layer.parameters())
        if not (bare or depthwise(layer) or isinstance(layer, nn.modules.batchnorm._BatchNorm)):
            break
    return []


def as_group(name: str, chain: list[str], modules: dict[str, nn.Module]) -> Group:
    size = channels(modules[name], OUT)
    every = torch.arange(size)
    between = [link for link in chain[:-1] if list(modules[link].parameters())]
    made = tuple(Slice(layer, OUT, every, every) for layer in (name, *between))
    return Group(name, size, (*made, Slice(chain[-1], IN, every, every)))


def plain(layer: nn.Module) -> bool:
    """Whether every output sees every input."""
    return getattr(layer, "groups", 1) == 1
