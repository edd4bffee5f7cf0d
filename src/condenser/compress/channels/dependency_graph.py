"""What belongs to a layer's channels, by Torch-Pruning's dependency graph."""

from __future__ import annotations

import copy
import warnings
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from condenser.compress.groups import IN, OUT, ROOTS, Side, channels, depthwise

CUTTABLE = (*ROOTS, nn.modules.batchnorm._BatchNorm, nn.PReLU)


class Place(NamedTuple):
    """A channel on its way through the graph; the names are those that the graph's maps read."""

    idx: int
    root_idx: int


class Coupling(NamedTuple):
    """What a layer's channels lead to: (layer, side) → {place: that layer's channel}.

    ``refusal`` says why they cannot be cut; empty if they can.
    """

    sides: dict[Side, dict[int, int]]
    refusal: str


Seen = dict[tuple[Any, Any], dict[int, int]]  # (node, pruning function) → {place: first channel}


def dependencies(model: nn.Module, image: Tensor) -> Any:
    """Torch-Pruning's graph, of a copy; autograd traces it, so that all must be trainable."""
    import torch_pruning

    traced = copy.deepcopy(model).requires_grad_(True)
    with torch.enable_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # It marks the outputs only where an operation makes them, not a layer: hence the clone.
        return torch_pruning.DependencyGraph().build_dependency(
            traced, [image], output_transform=torch.clone, verbose=False
        )


class Tracer:
    """Answers what a layer's channels are coupled with, in one network."""

    def __init__(self, model: nn.Module, image: Tensor) -> None:
        self.graph = dependencies(model, image)
        self.names = {module: name for name, module in self.graph.model.named_modules()}
        roots = [module for module in self.names if isinstance(module, ROOTS)]
        self.widest = max((max(root.weight.shape[:2]) for root in roots), default=0)

    def reach(self, root: str, free: list[int]) -> Coupling:
        """Everything that the channels ``free``, which layer ``root`` makes, are coupled with."""
        start = self.graph.model.get_submodule(root)
        if start not in self.graph.module2node:
            only = {(root, OUT): {c: c for c in free}}
            return Coupling(only, "its forward is not called as a layer")
        seen, lost = self.walk(start, free)
        sides: dict[Side, dict[int, int]] = {}
        for (node, fn), known in seen.items():
            if known and node.module in self.names:
                side = OUT if self.graph.is_out_channel_pruning_fn(fn) else IN
                sides.setdefault((self.names[node.module], side), {}).update(known)
        reasons = (obstacle(node.module, self.names) for node, _ in seen)
        return Coupling(sides, next(filter(None, reasons), "") or lost or self.beyond(sides))

    def wrong(self, place: Place, known: dict[int, int]) -> bool:
        """Whether a place belongs to two channels, or is beyond what the widest layer has."""
        return place.idx >= self.widest or known.get(place.idx, place.root_idx) != place.root_idx

    def beyond(self, sides: dict[Side, dict[int, int]]) -> str:
        """Whether a layer would lose channels that it does not have."""
        for (name, side), places in sides.items():
            if max(places) >= channels(self.graph.model.get_submodule(name), side):
                return f"torch-pruning loses track of its channels at {name}"
        return ""

    def walk(self, start: nn.Module, free: list[int]) -> tuple[Seen, str]:
        """Where the channels come by, and why the graph cannot be right, if it cannot.

        Without ``wrong`` a graph that is would be walked for ever.
        """
        fn = self.graph.get_pruner_of_module(start).prune_out_channels
        stack = [(self.graph.module2node[start], fn, [Place(c, c) for c in free])]
        seen: Seen = {}
        lost = ""
        while stack:
            node, fn, places = stack.pop()
            known = seen.setdefault((node, fn), {})
            if any(self.wrong(place, known) for place in places):
                lost = f"torch-pruning loses track of its channels at {node.name}"
                continue
            new = [place for place in places if place.idx not in known]
            known.update({place.idx: place.root_idx for place in new})
            for edge in node.dependencies if new else ():
                if edge.is_triggered_by(fn):
                    stack.append((edge.target, edge.handler, mapped(new, edge)))
        return seen, lost


def mapped(places: list[Place], edge: Any) -> list[Any]:
    """The places as the other end of an edge counts them."""
    result: list[Any] = places
    for mapping in filter(None, edge.index_mapping):
        result = mapping(result)
    return result


def obstacle(module: nn.Module, names: dict[nn.Module, str]) -> str:
    """Why channels that pass here cannot be cut; empty if they can."""
    if type(module).__name__ == "_OutputOp":
        return "its channels are the network's outputs"
    if isinstance(module, nn.Parameter):
        return "its channels pass a parameter that belongs to no layer"
    if module not in names or (isinstance(module, nn.PReLU) and module.num_parameters == 1):
        return ""  # an operation between layers
    name = names[module]
    if isinstance(module, nn.LayerNorm | nn.GroupNorm):
        return f"its channels pass {name}, which normalises across channels"
    if isinstance(module, nn.modules.conv._ConvNd) and module.groups > 1 and not depthwise(module):
        return f"its channels pass {name}, a grouped convolution"
    if not isinstance(module, CUTTABLE):
        return f"its channels pass {name}, a {type(module).__name__}"
    return ""
