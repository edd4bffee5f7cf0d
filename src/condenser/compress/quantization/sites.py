"""Where a network can be quantised: its layers, in the order they run, and what can be folded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from condenser.compress.patterns import matches
from condenser.errors import ConfigError

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
LAYERS = (nn.Linear, *CONVOLUTIONS)


def weight_name(layer: nn.Module) -> str:
    """What a layer calls the weight that is quantised: of attention, its three projections."""
    return "in_proj_weight" if isinstance(layer, nn.MultiheadAttention) else "weight"


def quantizable(model: nn.Module, exclude: Sequence[str] = ()) -> list[str]:
    """Linear and convolution layers and attention's projections, but for ``exclude`` (patterns).

    A weight that layers share is quantised once, under its first name.

    Raises:
        ConfigError: no layer is left.
    """
    seen: set[int] = set()
    names = []
    for name, layer in model.named_modules():
        attention = isinstance(layer, nn.MultiheadAttention) and layer.in_proj_weight is not None
        if not (attention or isinstance(layer, LAYERS)):
            continue
        weight = layer._parameters.get(weight_name(layer))
        if weight is None:  # computed from others
            continue
        if id(weight) not in seen and not matches(name, exclude):
            names.append(name)
        seen.add(id(weight))
    if not names:
        raise ConfigError("quantize.exclude", list(exclude), "patterns that leave a layer")
    return names


@torch.no_grad()
def running_order(model: nn.Module, names: Sequence[str], images: Tensor) -> list[str]:
    """Those of the layers that are called on ``images`` (n, C, H, W), in their order.

    An attention's output projection is none: its weight is read, it is not called.
    """
    called: dict[str, None] = {}

    def note(name: str) -> object:
        def hook(*_: object) -> None:
            called.setdefault(name)

        return model.get_submodule(name).register_forward_pre_hook(hook)

    handles = [note(name) for name in names]
    was = model.training
    model.eval()(images[:1])
    model.train(was)
    for handle in handles:
        handle.remove()  # type: ignore[attr-defined]
    return list(called)


def foldable(model: nn.Module) -> list[tuple[str, str]]:
    """(convolution, batch norm) names where the norm alone reads the convolution, each used once.

    A model that torch.fx cannot trace has none: its batch norms stay. So do those behind a weight
    that several layers share, and behind one that is computed from other parameters.
    """
    try:
        graph = torch.fx.symbolic_trace(model).graph
    except Exception:
        return []
    modules = dict(model.named_modules())
    uses = Counter(id(m._parameters.get("weight")) for m in modules.values())
    calls = [node for node in graph.nodes if node.op == "call_module"]
    names = [str(node.target) for node in calls]
    return [
        (str(node.args[0].target), str(node.target))
        for node in calls
        if isinstance(modules[str(node.target)], nn.modules.batchnorm._BatchNorm)
        and node.args
        and node.args[0] in calls
        and isinstance(modules[str(node.args[0].target)], CONVOLUTIONS)
        and uses[id(modules[str(node.args[0].target)]._parameters.get("weight"))] == 1
        and len(node.args[0].users) == 1
        and names.count(str(node.target)) == names.count(str(node.args[0].target)) == 1
    ]
