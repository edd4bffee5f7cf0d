"""Least-squares reconstruction: each layer's weights to what its outputs were before."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from condenser.capture import evaluating, watching
from condenser.compress.base import Projection
from condenser.compress.quantization.calibration import BATCH
from condenser.compress.repair.layers import Pair
from condenser.functional.least_squares import change

LARGEST = 4096  # inputs of an output: the square is solved in float64
PLACES = 64  # of an image's positions that are looked at
RIDGE = 1e-3  # of the mean square input: what was learnt from more images is worth something


class Reached(Exception):
    """The layer that was waited for has run."""


def reconstruct(
    model: nn.Module,
    before: nn.Module,
    pairs: Mapping[str, Pair],
    images: Tensor,
    constraints: Iterable[Projection],
) -> set[str]:
    """W ← argmin Σ ‖W x̂ + b - y‖² + λ ‖W - W₀‖², layer after layer in the order they run.

    x̂ is what the layer is given now, those before it mended, y what it gave in ``before``: of a
    layer that lost outputs those that are left. Zeros of a weight stay zero.

    Returns:
        the layers that were changed: linear, and 2-d convolutions of at most ``LARGEST`` inputs.

    Sources: He, Zhang, Sun, "Channel Pruning for Accelerating Very Deep Neural Networks", 2017,
    https://arxiv.org/abs/1707.06168; with a mask as Hubara et al., 2021, section 3 (layer-wise
    calibration), https://arxiv.org/abs/2102.08124
    """
    done = set()
    times = repeats(model, list(pairs), images)
    for name, pair in pairs.items():
        layer: Any = model.get_submodule(name)
        if not isinstance(layer, nn.Linear | nn.Conv2d) or inputs_of(layer) > LARGEST:
            continue
        if "weight" not in layer._parameters:  # computed from others
            continue
        mend(layer, *moments(model, before, name, pair, images, times[name]))
        for project in constraints:
            project()
        done.add(name)
    return done


def repeats(model: nn.Module, names: list[str], images: Tensor) -> Counter[str]:
    """How often each layer is called for a batch."""
    found: Counter[str] = Counter()
    with evaluating(model), watching(model, names, lambda name, *_: found.update([name])):
        model(images[:1])
    return found


def inputs_of(layer: Any) -> int:
    return int(layer.weight[0].numel())


def moments(
    model: nn.Module, before: nn.Module, name: str, pair: Pair, images: Tensor, times: int
) -> tuple[Tensor, Tensor]:
    """Σ x̂ x̂ᵀ (groups, n, n) and Σ (y - Wx̂ - b) x̂ᵀ (groups, m, n), a bias as an input of 1."""
    layer: Any = model.get_submodule(name)
    theirs, kept = pair
    axis = 1 if isinstance(layer, nn.Conv2d) else -1
    gram: Any = 0
    cross: Any = 0
    for part in images.split(BATCH):
        now, then = calls(model, name, part, times), calls(before, theirs, part, times)
        for (x, out), (_, y) in zip(now, then, strict=True):
            left = y if kept is None else y.index_select(axis, torch.tensor(kept, device=y.device))
            rows, lacking = table(layer, x, left - out)
            gram, cross = gram + rows.mT @ rows, cross + lacking.mT @ rows
    return gram, cross


def calls(model: nn.Module, name: str, images: Tensor, times: int) -> list[tuple[Tensor, Tensor]]:
    """(input, output) of the first calls of a layer; what comes after them is not run."""
    seen: list[tuple[Tensor, Tensor]] = []

    def note(_: str, __: nn.Module, inputs: Any, output: Tensor) -> None:
        seen.append((inputs[0].clone(), output.clone()))
        if times == len(seen):
            raise Reached

    with evaluating(model), watching(model, [name], note), suppress(Reached):
        model(images)
    return seen


def table(layer: Any, x: Tensor, lacking: Tensor) -> tuple[Tensor, Tensor]:
    """Inputs (groups, rows, n) and what the outputs lack (groups, rows, m), in float64."""
    if isinstance(layer, nn.Linear):
        rows, off = x.flatten(0, -2)[None], lacking.flatten(0, -2)[None]
    else:
        shape = {k: getattr(layer, k) for k in ("dilation", "stride")}
        x = functional.pad(x, layer._reversed_padding_repeated_twice, mode=mode(layer))
        patches = functional.unfold(x, layer.kernel_size, **shape)  # (batch, inputs, places)
        places = spread(patches.shape[-1])
        patches, flat = patches[..., places], lacking.flatten(2)[..., places]
        rows = patches.unflatten(1, (layer.groups, -1)).permute(1, 0, 3, 2).flatten(1, 2)
        off = flat.unflatten(1, (layer.groups, -1)).permute(1, 0, 3, 2).flatten(1, 2)
    if layer.bias is not None:
        rows = torch.cat([rows, torch.ones_like(rows[..., :1])], -1)
    return rows.double(), off.double()


def mode(layer: nn.Conv2d) -> str:
    return "constant" if layer.padding_mode == "zeros" else layer.padding_mode


def spread(places: int) -> Tensor:
    """Some of an image's positions, evenly."""
    return torch.arange(places)[:: max(1, -(-places // PLACES))]


def mend(layer: Any, gram: Tensor, cross: Tensor) -> None:
    """Add the change that the moments ask for; zeros stay zero."""
    groups, weight = gram.shape[0], layer.weight
    free = (weight != 0).flatten(1).unflatten(0, (groups, -1))
    inputs = free.shape[-1]
    ridge = torch.zeros(gram.shape[-1], dtype=gram.dtype, device=gram.device)
    mean = gram.diagonal(dim1=-2, dim2=-1)[..., :inputs].mean()
    ridge[:inputs] = RIDGE * mean.clamp(min=1e-12)
    if layer.bias is not None:
        free = torch.cat([free, torch.ones_like(free[..., :1])], -1)
        ridge[-1] = 1e-9 * gram[0, -1, -1]
    step = change(gram, cross, ridge, free).flatten(0, 1).to(weight)
    weight.add_(step[:, :inputs].view_as(weight))
    if layer.bias is not None:
        layer.bias.add_(step[:, -1])
