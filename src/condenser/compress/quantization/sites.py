"""Quantisable layers of a network, in execution order."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from condenser.capture import evaluating, watching
from condenser.compress.patterns import matches
from condenser.compress.tables import is_table
from condenser.errors import ConfigError

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
LAYERS = (nn.Linear, *CONVOLUTIONS)


def weight_name(layer: nn.Module) -> str:
    """What a layer calls the weight that is quantised: of attention, its three projections."""
    return "in_proj_weight" if isinstance(layer, nn.MultiheadAttention) else "weight"


def quantizable(model: nn.Module, exclude: Sequence[str] = ()) -> list[str]:
    """Linear and convolution layers, attention's projections and embeddings of token ids, but for
    ``exclude`` (patterns).

    A weight that layers share is quantised once, under its first name.

    Raises:
        ConfigError: no layer is left.
    """
    seen: set[int] = set()
    names = []
    for name, layer in model.named_modules():
        attention = isinstance(layer, nn.MultiheadAttention) and layer.in_proj_weight is not None
        if not (attention or isinstance(layer, LAYERS) or is_table(layer)):
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


def running_order(model: nn.Module, names: Sequence[str], images: Tensor) -> list[str]:
    """Those of the layers that are called on ``images`` (n, C, H, W), in their order.

    An attention's output projection is none: its weight is read, it is not called.
    """
    called: dict[str, None] = {}

    def note(name: str, *_: object) -> None:
        called.setdefault(name)

    with evaluating(model), watching(model, names, note, before=True):
        model(images[:1])
    return list(called)
