"""Layers that can be factorised, and statistics of their inputs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from condenser.capture import evaluating, watching
from condenser.compress.factorization.kinds import Layer, Positions
from condenser.compress.patterns import matches

BATCH = 256
WEIGHTED = (nn.Linear, nn.modules.conv._ConvNd)
Note = Callable[[str, Any, tuple[Tensor, ...], Tensor], None]  # (name, layer, inputs, output)


def factorable(
    model: nn.Module, exclude: Sequence[str] = ()
) -> tuple[dict[str, Layer], dict[str, str]]:
    """The layers that can be products, and why the other weighted ones cannot, by name."""
    whole = model.named_modules(remove_duplicate=False)
    modules = [(n, m) for n, m in whole if isinstance(m, WEIGHTED)]
    uses = Counter(id(parameter) for _, m in modules for parameter in m.parameters())
    layers: dict[str, Layer] = {}
    left: dict[str, str] = {}
    for name, layer in modules:
        if matches(name, exclude):
            continue
        # A subclass may use its weight otherwise, as attention does its output's.
        if type(layer) not in (nn.Linear, nn.Conv2d):
            left[name] = f"a {type(layer).__name__} cannot be"
        elif getattr(layer, "groups", 1) > 1:
            left[name] = "its channels are convolved in groups"
        elif any(uses[id(parameter)] > 1 for parameter in layer.parameters()):
            left[name] = "it shares its weight with another layer"
        elif list(layer.buffers()):
            left[name] = "it is quantised"
        else:
            layers[name] = layer  # type: ignore[assignment]
    return layers, left


def pointwise(layer: Layer) -> bool:
    """Whether its weight is a matrix: a Linear, or a 1×1 convolution."""
    return isinstance(layer, nn.Linear) or layer.kernel_size == (1, 1)


def sites_of(
    model: nn.Module, layers: Mapping[str, nn.Module], image: Tensor
) -> dict[str, Positions]:
    """At how many positions of one image (1, C, H, W) each layer works, over all its calls."""
    found = dict.fromkeys(layers, Positions(0, 0, 0))

    def note(name: str, layer: Any, inputs: tuple[Tensor, ...], y: Tensor) -> None:
        if isinstance(layer, nn.Linear):
            here = Positions(*[y.numel() // layer.out_features] * 3)
        else:
            (height, width), (rows, columns) = inputs[0].shape[-2:], y.shape[-2:]
            here = Positions(height * width, rows * width, rows * columns)
        found[name] = Positions(*(a + b for a, b in zip(found[name], here, strict=True)))

    _watch(model, layers, image, note)
    return found


def second_moments(
    model: nn.Module, layers: Mapping[str, nn.Module], images: Tensor
) -> dict[str, Tensor]:
    """Σ x xᵀ over all images and positions of what a Linear's or Conv2d's weight multiplies.

    Returns:
        name → (n, n) float64, n = weight.flatten(1).shape[1]; no entry for a layer never called.
    """
    moments: dict[str, Tensor] = {}

    def add(name: str, layer: Any, inputs: tuple[Tensor, ...], _: Tensor) -> None:
        patches = _patches(layer, inputs[0])
        moments[name] = moments.get(name, 0) + (patches.T @ patches).double()

    for part in images.split(BATCH):
        _watch(model, layers, part, add)
    return moments


def _patches(layer: Any, x: Tensor) -> Tensor:
    """The inputs that the weight multiplies, one per row: (positions, n)."""
    if isinstance(layer, nn.Conv2d):
        mode = "constant" if layer.padding_mode == "zeros" else layer.padding_mode
        x = F.pad(x, layer._reversed_padding_repeated_twice, mode)
        x = F.unfold(x, layer.kernel_size, layer.dilation, 0, layer.stride).transpose(1, 2)
    return x.reshape(-1, x.shape[-1])


def _watch(model: nn.Module, layers: Mapping[str, nn.Module], images: Tensor, note: Note) -> None:
    with evaluating(model), watching(model, layers, note):
        model(images.to(next(model.parameters()).device))
