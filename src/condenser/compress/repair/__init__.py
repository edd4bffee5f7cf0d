"""Repair without training: what a compression took from a network's layers, given back in part."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from condenser.capture import evaluating
from condenser.compress.base import Operation, Projection
from condenser.compress.quantization.aware import statistics
from condenser.compress.quantization.calibration import BATCH
from condenser.compress.quantization.correction import channel_means, correct
from condenser.compress.quantization.operation import Quantized
from condenser.compress.repair.layers import counterparts
from condenser.compress.repair.reconstruction import reconstruct
from condenser.compress.sharing.operation import Shared

__all__ = ["Repair", "repair"]


@dataclass(frozen=True)
class Repair:
    """What is done after a compression that no training follows.

    Attributes:
        images: of the training set, that it is measured on.
        least_squares: each layer's weights to what its outputs were, in the order they run.
        batch_norms: means and variances measured anew.
        bias: from each bias what its channel's mean has moved; where least squares did not.
    """

    images: int
    least_squares: bool = True
    batch_norms: bool = True
    bias: bool = True


@torch.no_grad()
def repair(
    model: nn.Module,
    before: nn.Module,
    images: Tensor,
    operations: Sequence[Operation],
    constraints: Sequence[Projection],
    how: Repair,
    made: Sequence[Operation] = (),
) -> dict[str, float]:
    """Repair ``model`` in place, ``before`` being the network before its last compression.

    Weights that are zero stay zero; where a codebook or a grid made the weights, only biases and
    batch norms move.

    Args:
        images: (n, C, H, W) normalised training images.
        operations: all that made ``model``; ``constraints`` are theirs.
        made: those of the last compression.

    Returns:
        relative error of the outputs, ‖ŷ - y‖² / ‖y‖² over the images, before and after.
    """
    coded = any(isinstance(op, Shared | Quantized) for op in operations)
    facts = {"error_before": error(model, before, images)}
    pairs = counterparts(model, before, made, images)
    mended = set[str]()
    if how.least_squares and not coded:
        mended = reconstruct(model, before, pairs, images, constraints)
    if how.bias:
        rest = {name: pair for name, pair in pairs.items() if name not in mended}
        shift(model, before, rest, images)
    if how.batch_norms:
        statistics(model, images.split(BATCH))
    for project in constraints:
        project()
    return facts | {"error": error(model, before, images), "layers": float(len(mended))}


def shift(
    model: nn.Module,
    before: nn.Module,
    pairs: Mapping[str, tuple[str, list[int] | None]],
    images: Tensor,
) -> None:
    """Bias correction of the layers: name → its name before, and the outputs that are left."""
    usual = channel_means(before, [theirs for theirs, _ in pairs.values()], images)
    means = {}
    for name, (theirs, kept) in pairs.items():
        if theirs in usual and getattr(model.get_submodule(name), "bias", None) is not None:
            means[name] = usual[theirs] if kept is None else usual[theirs][kept]
    correct(model, means, images)


def error(model: nn.Module, before: nn.Module, images: Tensor) -> float:
    """‖ŷ - y‖² / ‖y‖² of the outputs over all images."""
    off = whole = 0.0
    with evaluating(model), evaluating(before):
        for part in images.split(BATCH):
            wanted = before(part).double()
            off += float((model(part).double() - wanted).square().sum())
            whole += float(wanted.square().sum())
    return off / whole if whole else 0.0
