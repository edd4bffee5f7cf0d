"""Find where neurons can be merged: a layer, its channel-wise operations, one consumer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.fx import Node

from condenser.compress.patterns import matches

LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
NORMS = (nn.modules.batchnorm._BatchNorm,)
NOTHING = (nn.Identity, nn.modules.dropout._DropoutNd)
POOLS = (
    nn.modules.pooling._MaxPoolNd,
    nn.modules.pooling._AvgPoolNd,
    nn.modules.pooling._AdaptiveMaxPoolNd,
    nn.modules.pooling._AdaptiveAvgPoolNd,
)
CURVES = (nn.Sigmoid, nn.Tanh, nn.GELU, nn.SiLU, nn.ELU, nn.SELU, nn.CELU, nn.Mish, nn.Softplus)
STEPS = (nn.Hardtanh, nn.Hardswish, nn.Hardsigmoid)  # ReLU6 is a Hardtanh
# Functions and methods, by name. An activation's effect is a slope, see Chain; None has no slope.
FUNCTIONS: dict[str, str | float | None] = {
    **dict.fromkeys(("dropout", "dropout1d", "dropout2d", "dropout3d", "contiguous"), "nothing"),
    **dict.fromkeys(("max_pool1d", "max_pool2d", "max_pool3d", "avg_pool1d"), "pool"),
    **dict.fromkeys(("avg_pool2d", "avg_pool3d", "adaptive_avg_pool1d"), "pool"),
    **dict.fromkeys(("adaptive_avg_pool2d", "adaptive_max_pool2d"), "pool"),
    **dict.fromkeys(("relu", "relu_"), 0.0),
    **dict.fromkeys(("sigmoid", "tanh", "gelu", "silu", "elu", "selu", "mish"), None),
    **dict.fromkeys(("relu6", "hardtanh", "hardswish", "hardsigmoid", "softplus"), None),
}


@dataclass
class Chain:
    """A layer whose channels can be merged.

    Attributes:
        layer: its name.
        reader: the one linear or convolution layer that reads it.
        norm: the batch norm right behind it, if there is one.
        slope: s of the activation f(z) = max(z, s·z), 1 for none; None for any other.
        positions: how many inputs of the reader are one channel's.
    """

    layer: str
    reader: str = ""
    norm: str | None = None
    slope: float | None = 1.0
    positions: int = 1


class Stop(Exception):
    """Raised with the reason why a layer's channels cannot be merged."""


def chains(model: nn.Module, exclude: Sequence[str] = ()) -> tuple[list[Chain], dict[str, str]]:
    """Layers that can be merged, in the order they run, and for each other layer the reason."""
    modules = dict(model.named_modules())
    layers = [name for name, module in modules.items() if isinstance(module, LAYERS)]
    try:
        nodes = list(torch.fx.symbolic_trace(model).graph.nodes)
    except Exception as error:  # whatever a tracer trips over
        why = f"torch.fx cannot trace the network ({type(error).__name__})"
        return [], dict.fromkeys(layers, why)
    calls = Counter(str(node.target) for node in nodes if node.op == "call_module")
    found, skipped = [], dict.fromkeys(layers, "it is not called as a layer")
    for node in nodes:
        name = str(node.target)
        if node.op != "call_module" or name not in skipped:
            continue
        try:
            if matches(name, exclude):
                raise Stop("exclude names it")
            found.append(Walk(modules, calls, name).to_reader(node))
            del skipped[name]
        except Stop as stop:
            skipped[name] = str(stop)
    return found, skipped


class Walk:
    """The path from a layer to its consumer."""

    def __init__(self, modules: Mapping[str, Any], calls: Counter[str], name: str) -> None:
        self.modules, self.calls, self.layer = modules, calls, modules[name]
        self.chain = Chain(name)
        self.flat = isinstance(self.layer, nn.Linear)  # the channels are the last dimension
        self.changed = False  # by something after which a batch norm is no part of the layer
        if calls[name] > 1:
            raise Stop("it is used more than once")
        if getattr(self.layer, "groups", 1) != 1:
            raise Stop("it is a grouped convolution")
        if self.layer.weight.shape[0] < 2:
            raise Stop("it has one channel")

    def to_reader(self, node: Node) -> Chain:
        """Raises Stop."""
        while not self.chain.reader:
            if len(node.users) != 1:
                raise Stop(f"its output is read {len(node.users)} times")
            (user,) = node.users
            if user.op == "output":
                raise Stop("its channels are the network's outputs")
            if user.args[:1] != (node,) or user.all_input_nodes != [node]:
                raise Stop(f"its output goes into {user.name}")
            self.take(user, self.effect(user))
            node = user
        return self.chain

    def take(self, node: Node, effect: str | float | None) -> None:
        if effect == "layer":
            self.end(str(node.target))
        elif effect == "norm":
            self.norm(str(node.target))
        elif effect == "pool" and self.flat:
            raise Stop(f"{node.name} pools across channels")
        elif effect == "flatten":
            self.flat = self.changed = True
        elif effect != "nothing":
            self.changed = True
            if not isinstance(effect, str):  # two activations are one only if both are ReLU
                self.chain.slope = effect if self.chain.slope in (1.0, effect) else None

    def effect(self, node: Node) -> str | float | None:
        """What a node does to a channel: the slope of an activation, or a word."""
        if node.op == "call_module":
            return module_effect(str(node.target), self.modules[str(node.target)])
        name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "")
        if name == "flatten" and node.args[1:] == (1,) and not node.kwargs:
            return "flatten"
        if name not in FUNCTIONS:
            raise Stop(f"its output goes into {node.name}")
        return FUNCTIONS[str(name)]

    def norm(self, name: str) -> None:
        norm = self.modules[name]
        if self.changed or self.chain.norm or self.calls[name] > 1:
            raise Stop(f"its output goes into {name}, which is not its own batch norm")
        if norm.running_mean is None or norm.num_features != self.layer.weight.shape[0]:
            raise Stop(f"its output goes into {name}, which has no statistics of each channel")
        self.chain.norm = name

    def end(self, name: str) -> None:
        """``name`` is the reader, if its inputs are the channels in a row."""
        reader = self.modules[name]
        inputs, channels = reader.weight.shape[1], self.layer.weight.shape[0]
        if self.calls[name] > 1 or getattr(reader, "groups", 1) != 1:
            raise Stop(f"its output goes into {name}, which is grouped or used more than once")
        linear = isinstance(reader, nn.Linear)
        repeated = linear and not isinstance(self.layer, nn.Linear)
        if linear != self.flat or inputs % channels or (inputs != channels and not repeated):
            raise Stop(f"its output goes into {name}, which does not read channel by channel")
        self.chain.reader, self.chain.positions = name, inputs // channels


def module_effect(name: str, module: nn.Module) -> str | float | None:
    if isinstance(module, nn.ReLU):
        return 0.0
    if isinstance(module, nn.LeakyReLU):
        return module.negative_slope
    if isinstance(module, CURVES + STEPS):
        return None
    kinds: dict[str, tuple[type[nn.Module], ...]]
    kinds = {"layer": LAYERS, "norm": NORMS, "nothing": NOTHING, "pool": POOLS}
    for word, kind in kinds.items():
        if isinstance(module, kind):
            return word
    if isinstance(module, nn.Flatten) and (module.start_dim, module.end_dim) == (1, -1):
        return "flatten"
    raise Stop(f"its output goes into {name}, a {type(module).__name__}")
