"""Trace a network: which batch norms can be folded, which outputs must be quantised."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

import torch
from torch import nn
from torch.fx import Graph, Node

from condenser.compress.quantization.quantizers import InputQuantizer
from condenser.compress.quantization.sites import CONVOLUTIONS, LAYERS

Norm = nn.modules.batchnorm._BatchNorm
# What gives values that came in and no others (or the largest of them, or zero): it commutes with
# rounding, and an engine does it on codes.
EXACT = (
    nn.Identity,
    nn.ReLU,
    nn.ReLU6,
    nn.Flatten,
    nn.ChannelShuffle,
    nn.modules.dropout._DropoutNd,
    nn.modules.pooling._MaxPoolNd,
)
MEANS = (nn.modules.pooling._AvgPoolNd, nn.modules.pooling._AdaptiveAvgPoolNd)
EXACT_CALLS = {
    *("relu", "relu_", "relu6", "flatten", "max_pool2d", "dropout", "dropout_", "channel_shuffle"),
    *("view", "reshape", "permute", "transpose", "contiguous", "chunk", "split", "getitem"),
    *("squeeze", "unsqueeze"),
}
SUM_CALLS = {
    *("add", "iadd", "add_", "cat", "concat", "mean"),
    *("avg_pool2d", "adaptive_avg_pool2d"),
}
SHAPES = {"size", "dim", "getattr"}  # what is asked of a tensor besides its values


class Tracer(torch.fx.Tracer):
    """Notes which node is what each module gives, those that are looked into included."""

    def __init__(self) -> None:
        super().__init__()
        self.made: dict[str, list[Node | None]] = {}

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, InputQuantizer) or super().is_leaf_module(m, module_qualified_name)

    def call_module(self, m: nn.Module, forward: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        made = super().call_module(m, forward, args, kwargs)
        name = self.path_of_module(m)
        self.made.setdefault(name, []).append(getattr(made, "node", None))
        return made


def trace(model: nn.Module) -> tuple[Graph, dict[str, Node]]:
    """The graph, and what each module gives of those that are called once; empty where torch.fx
    cannot trace the network."""
    tracer = Tracer()
    try:
        graph = tracer.trace(model)
    except Exception:  # whatever a tracer trips over
        return Graph(), {}
    made = {name: nodes[0] for name, nodes in tracer.made.items() if len(nodes) == 1}
    return graph, {name: node for name, node in made.items() if node is not None}


def foldable(model: nn.Module) -> list[tuple[str, str]]:
    """(convolution, batch norm) names where the norm alone reads the convolution, each used once.

    A norm without running statistics computes them of every batch, and is none. A model that
    torch.fx cannot trace has none either: its batch norms stay. So do those behind a weight that
    several layers share, and behind one that is computed from other parameters.
    """
    graph, made = trace(model)
    modules = dict(model.named_modules())
    calls = {node: str(node.target) for node in graph.nodes if node.op == "call_module"}
    read = {str(n.target).rpartition(".")[0] for n in graph.nodes if n.op == "get_attr"}
    uses = Counter(id(m._parameters.get("weight")) for m in modules.values())
    pairs = []
    for node, norm in calls.items():
        source = node.args[0] if node.args else None
        conv = calls.get(source, "") if isinstance(source, Node) else ""
        if (
            {conv, norm} <= made.keys()
            and conv not in read
            and isinstance(modules[norm], Norm)
            and modules[norm].running_var is not None
            and isinstance(modules[conv], CONVOLUTIONS)
            and modules[conv]._parameters.get("weight") is not None
            and uses[id(modules[conv].weight)] == 1
            and len(source.users) == 1  # type: ignore[union-attr]
        ):
            pairs.append((conv, norm))
    return pairs


def rounded_outputs(model: nn.Module, layers: Collection[str]) -> dict[str, list[str]]:
    """Modules whose output has to be rounded so that an engine never leaves the integers, each with
    the layers that read it as it is.

    Between a quantised layer and the next one there may be nothing but what commutes with rounding:
    then the next one's input is rounded, and that is all. Where something else reads a convolution,
    or a sum, a mean or a concatenation of what is rounded, its output is. A network that torch.fx
    cannot trace has none: what lies between its layers stays in float.
    """
    graph, made = trace(model)
    return Walk(model, layers, graph, made).found


class Walk:
    """The way through the graph, with what was found to be rounded so far."""

    def __init__(
        self, model: nn.Module, layers: Collection[str], graph: Graph, made: Mapping[str, Node]
    ) -> None:
        self.modules, self.layers = dict(model.named_modules()), layers
        self.norms = {norm for _, norm in foldable(model)}
        self.places: dict[Node, list[str]] = {}
        for name, node in made.items():
            self.places.setdefault(node, []).append(name)
        self.found: dict[str, list[str]] = {}
        self.rounded: set[Node] = set()
        for node in graph.nodes:
            if self.exact(node) and self.rounded.issuperset(node.all_input_nodes):
                self.rounded.add(node)
            if self.starts(node):
                self.end(node)

    def module(self, node: Node) -> nn.Module | None:
        return self.modules[str(node.target)] if node.op == "call_module" else None

    def exact(self, node: Node) -> bool:
        if node.op == "call_module":
            return isinstance(self.module(node), EXACT) or node.target in self.norms
        return called(node) in EXACT_CALLS

    def quantised(self, node: Node) -> bool:
        return node.op == "call_module" and str(node.target) in self.layers

    def starts(self, node: Node) -> bool:
        """Whether a runtime would compute it in integers and output floats."""
        if self.quantised(node):
            return isinstance(self.module(node), CONVOLUTIONS)
        sums = isinstance(self.module(node), MEANS) or called(node) in SUM_CALLS
        inputs = node.all_input_nodes
        return sums and bool(inputs) and self.rounded.issuperset(inputs)

    def end(self, node: Node) -> None:
        """Quantise after the operations that commute with rounding, unless all consumers do."""
        way = [node]
        while len(users := readers(way[-1])) == 1 and self.exact(users[0]):
            way.append(users[0])
        float_layers = isinstance(self.module(node), CONVOLUTIONS)  # do they matter to this one?
        if not any(self.asks(user, float_layers) for user in users):
            return
        for last in reversed(way):
            if place := self.place(last):
                self.found[place] = [str(u.target) for u in readers(last) if self.quantised(u)]
                self.rounded.add(last)
                return

    def asks(self, user: Node, float_layers: bool) -> bool:
        """Whether this reader needs what it reads rounded for it."""
        if user.op == "output" or self.quantised(user):
            return False
        return float_layers or not isinstance(self.module(user), LAYERS)

    def place(self, node: Node) -> str:
        """A module that gives this to everyone who reads it."""
        own = [str(node.target)] if node.op == "call_module" else []
        outer = [n for n in self.places.get(node, []) if not any(within(n, u) for u in node.users)]
        return next(iter([n for n in own if n in outer] + sorted(outer, key=len, reverse=True)), "")


def called(node: Node) -> str:
    """The name of the function or method, '' of what is none."""
    if node.op == "call_method":
        return str(node.target)
    return getattr(node.target, "__name__", "") if node.op == "call_function" else ""


def readers(node: Node) -> list[Node]:
    """Who reads its values."""
    return [user for user in node.users if called(user) not in SHAPES]


def within(name: str, node: Node) -> bool:
    """Whether the node is computed in this module."""
    stack: Iterable[Any] = node.meta.get("nn_module_stack", {}).values()
    paths = {str(entry[0] if isinstance(entry, tuple) else entry) for entry in stack}
    return name in paths
