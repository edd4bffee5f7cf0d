"""Calibration: the range of a layer's inputs or weight that a grid covers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from condenser.capture import watching
from condenser.errors import ConfigError
from condenser.functional import ranges as cover

Ranges = str | float  # minmax, mse, or a percentile
SAMPLE = 2**16  # values a batch that are kept of a layer's input
BATCH = 256
SOME = 64  # images of which extremes are taken at a time


def check_ranges(ranges: Ranges) -> None:
    """ConfigError for an unknown range estimator."""
    if isinstance(ranges, str):
        good = ranges in ("minmax", "mse")
    else:
        good = not isinstance(ranges, bool) and 50 <= ranges <= 100
    if not good:
        allowed = "minmax, mse, or a percentile from 50 to 100, as 99.9"
        raise ConfigError("quantize.ranges", ranges, allowed)


def covered(rows: Tensor, ranges: Ranges, bits: int, symmetric: bool) -> tuple[Tensor, Tensor]:
    """Low and high of each row of (rows, n)."""
    if ranges == "mse":
        return cover.least_error(rows, max(bits, 2) if symmetric else bits, symmetric)
    if ranges == "minmax":
        return cover.everything(rows)
    return cover.percentile(rows, float(ranges))


def input_ranges(
    model: nn.Module,
    names: Sequence[str],
    images: Tensor,
    bits: Mapping[str, int],
    ranges: Ranges = "minmax",
) -> dict[str, tuple[Tensor, Tensor]]:
    """The range of each layer's input, over all images; of layers that are called.

    With minmax the least and the greatest value; else by an even sample of the values of every
    batch. One bit has no range to speak of: ± the mean magnitude of values of both signs, and of
    others what errs least.
    """
    seen: dict[str, list[Tensor]] = {}

    def note(name: str, _: nn.Module, inputs: tuple[Any, ...]) -> None:
        seen.setdefault(name, []).append(some(inputs[0], extremes_only(bits[name], ranges)))

    run(model, names, note, images)
    return {name: one_range(torch.cat(parts), ranges, bits[name]) for name, parts in seen.items()}


def output_ranges(
    model: nn.Module, names: Iterable[str], images: Tensor, ranges: Ranges = "minmax"
) -> dict[str, tuple[Tensor, Tensor]]:
    """The range of what each module gives, for 8 bits.

    With minmax the extremes of some images at a time, on average: those of all images are
    outliers, and sums of residual branches lost half a point of accuracy to their coarse steps.
    """
    seen: dict[str, list[Tensor]] = {}

    def note(name: str, _: nn.Module, __: Any, output: Tensor) -> None:
        parts = seen.setdefault(name, [])
        parts += [some(x, extremes_only(8, ranges)) for x in output.split(SOME)]

    run(model, names, note, images, after=True)
    if extremes_only(8, ranges):
        return {n: tuple(torch.stack(parts).mean(0)) for n, parts in seen.items()}  # type: ignore[misc]
    return {name: one_range(torch.cat(parts), ranges, 8) for name, parts in seen.items()}


def extremes_only(bits: int, ranges: Ranges) -> bool:
    return ranges == "minmax" and bits > 1


def some(x: Tensor, extremes: bool) -> Tensor:
    """What is remembered of a batch: its least and greatest value, or an even sample too."""
    flat = x.detach().float().flatten()
    ends = torch.stack([flat.amin(), flat.amax()])
    return ends if extremes else torch.cat([ends, flat[:: max(1, flat.numel() // SAMPLE)]])


def one_range(values: Tensor, ranges: Ranges, bits: int) -> tuple[Tensor, Tensor]:
    if bits > 1:
        low, high = covered(values[None], ranges, bits, symmetric=False)
    elif values.amin() < 0:
        return -values.abs().mean(), values.abs().mean()
    else:
        low, high = cover.least_error(values[None], bits, symmetric=False)
    return low[0], high[0]


@torch.no_grad()
def run(
    model: nn.Module,
    layers: Iterable[str],
    note: Callable[..., None],
    images: Tensor,
    after: bool = False,
) -> None:
    """The network over all images; ``note`` sees each of the layers before (or after) its call."""
    with watching(model, layers, note, before=not after):
        for part in images.split(BATCH):
            model(part)
