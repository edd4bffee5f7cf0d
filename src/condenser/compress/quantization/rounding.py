"""Adaptive rounding (AdaRound): round up or down to preserve the layer's output."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from condenser.compress.quantization.calibration import run
from condenser.compress.quantization.quantizers import WeightQuantizer
from condenser.compress.quantization.sites import LAYERS, running_order

STRETCH = -0.1, 1.1  # of the sigmoid, so that it reaches 0 and 1
STEPS, BATCH, RATE = 1000, 64, 1e-2
WEIGHT = 0.01  # of the regulariser
SHARPNESS = 20.0, 2.0  # of the regulariser at its start and at the end
WARM = 0.2  # part of the steps without it
KEPT = 512  # images whose layer inputs are kept


def learn_rounding(
    model: nn.Module, exact: nn.Module, quantizers: Mapping[str, WeightQuantizer], images: Tensor
) -> None:
    """Move each weight to the lower or upper point of its grid, layer by layer, as they run.

    minimises ‖Wx - Ŵx̂‖² + λ Σ (1 - |2h(V) - 1|^β) over V, Ŵ = s·(⌊W/s⌋ + h(V)), where x is the
    input of the float network and x̂ that of the one rounded so far, and h a stretched sigmoid.
    Zeros stay zero. ``exact`` is the network before anything was rounded. Layers of other kinds
    than linear and convolution are left as they are.

    Source: Nagel, Amjad, van Baalen, Louizos, Blankevoort, 2020, https://arxiv.org/abs/2004.10568
    """
    images = images[:KEPT]
    for name in running_order(model, list(quantizers), images):
        layer: Any = model.get_submodule(name)
        if not isinstance(layer, LAYERS):
            continue
        seen, wanted = record(model, name, images), record(exact, name, images, after=True)
        with torch.enable_grad():
            layer.weight.data.copy_(rounded(layer, quantizers[name], seen, wanted))


def record(model: nn.Module, name: str, images: Tensor, after: bool = False) -> Tensor:
    """What goes into a layer on its way to its own rounding, or what comes out."""
    seen: list[Tensor] = []

    def note(_: str, __: nn.Module, inputs: Any, output: Tensor | None = None) -> None:
        seen.append(output if output is not None else inputs[0])

    run(model, [name], note, images, after=after)
    return torch.cat(seen)


def rounded(layer: Any, quantizer: WeightQuantizer, x: Tensor, y: Tensor) -> Tensor:
    """The layer's weight on its grid: x (n, …) its inputs, y (n, …) what it is to put out."""
    weight, (low, high) = layer.weight.detach(), STRETCH
    with torch.no_grad():
        scale, zero_point = quantizer.grid(weight)
        steps = weight / scale + zero_point
        down = steps.floor()
        start = ((steps - down - low) / (high - low)).clamp(1e-4, 1 - 1e-4)
    position = torch.logit(start).requires_grad_()
    optimizer = torch.optim.Adam([position], lr=RATE)
    draw = torch.Generator().manual_seed(0)
    alive = weight != 0

    def soft() -> Tensor:
        return (torch.sigmoid(position) * (high - low) + low).clamp(0, 1)

    def on_grid(up: Tensor) -> Tensor:
        codes = (down + up).clamp(quantizer.low, quantizer.high)
        return torch.where(alive, (codes - zero_point) * scale, 0.0)

    for step in range(STEPS):
        some = torch.randint(len(x), (min(BATCH, len(x)),), generator=draw)
        put_out = apply(layer, x[some], on_grid(soft()))
        error = (put_out - y[some]).square().sum(1).mean()
        done = step / STEPS
        if done >= WARM:
            sharp = SHARPNESS[1] + (SHARPNESS[0] - SHARPNESS[1]) * (1 - (done - WARM) / (1 - WARM))
            error = error + WEIGHT * (1 - (2 * soft() - 1).abs().pow(sharp)).sum()
        optimizer.zero_grad()
        error.backward()
        optimizer.step()
    with torch.no_grad():
        return on_grid((soft() >= 0.5).to(weight.dtype))


def apply(layer: Any, x: Tensor, weight: Tensor) -> Tensor:
    """The layer on ``x`` with another weight."""
    if hasattr(layer, "input_quantizer"):
        x = layer.input_quantizer(x)
    if isinstance(layer, nn.Linear):
        return functional.linear(x, weight, layer.bias)
    made: Tensor = layer._conv_forward(x, weight, layer.bias)
    return made
