"""Bias correction: subtract the mean output shift caused by quantisation from the bias."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from condenser.compress.quantization.calibration import run
from condenser.compress.quantization.sites import CONVOLUTIONS, running_order


def channel_means(model: nn.Module, names: Sequence[str], images: Tensor) -> dict[str, Tensor]:
    """E[y] of each channel (channels,) of each layer's output, over images and positions."""
    sums: dict[str, Tensor] = {}
    counts: dict[str, int] = {}

    def add(name: str, layer: nn.Module, _: Any, output: Tensor) -> None:
        axis = 1 if isinstance(layer, CONVOLUTIONS) else -1
        flat = output.movedim(axis, 0).flatten(1).double()
        sums[name] = sums.get(name, 0) + flat.sum(1)
        counts[name] = counts.get(name, 0) + flat.shape[1]

    biased = [
        name for name in names if getattr(model.get_submodule(name), "bias", None) is not None
    ]
    run(model, biased, add, images, after=True)
    return {name: total / counts[name] for name, total in sums.items()}


@torch.no_grad()
def correct(model: nn.Module, means: Mapping[str, Tensor], images: Tensor) -> None:
    """b ← b - (E[ŷ] - E[y]), layer after layer in the order they run, those before corrected.

    ``means`` are the float network's; a layer without a bias is left alone.

    Source: Nagel et al., 2019, section 4.2, https://arxiv.org/abs/1906.04721
    """
    for name in running_order(model, list(means), images):
        layer: Any = model.get_submodule(name)
        now = channel_means(model, [name], images)[name]
        layer.bias.sub_((now - means[name]).to(layer.bias.dtype))
