"""Sensitivity analysis of a model on validation data."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

import torch
from torch import nn

from condenser.analysis.curves import Score
from condenser.analysis.prunable_units import channel_units, weight_units
from condenser.analysis.sensitivity import RATES, sensitivity
from condenser.compress.channels.dependency_graph import CUTTABLE
from condenser.compress.patterns import listed, refuse_unmatched
from condenser.data import Batch, DataModule
from condenser.data.batches import Normalise
from condenser.data.lengths import cut
from condenser.data.split import take
from condenser.errors import ConfigError, UnknownError
from condenser.tasks import Task

GRANULARITIES = ("weights", "channels")


def analyse(
    model: nn.Module,
    data: DataModule,
    granularity: str = "weights",
    rates: Sequence[float] = RATES,
    images: int = 2000,
    exclude: Sequence[str] = (),
) -> dict[str, Any]:
    """Sensitivity of a model on its validation images, as JSON-serialisable values.

    Args:
        granularity: weights, one unit per layer; or channels, one per group of coupled layers.
        images: number of stratified validation images; all if there are fewer.
        exclude: patterns of layer names.

    Returns:
        granularity, images, curves (``Curve`` as dictionaries), left (layer → why it has none).

    Raises:
        ConfigError: an unknown granularity, a rate out of range, or no validation images.
    """
    if granularity not in GRANULARITIES:
        raise UnknownError("granularity", granularity, GRANULARITIES)
    layers = [name for name, layer in model.named_modules() if isinstance(layer, CUTTABLE)]
    refuse_unmatched("--exclude", listed("--exclude", exclude), layers)
    batches = validation(data, images, next(model.parameters()).device)
    image = batches[0].image[:1]
    channels = granularity == "channels"
    found = channel_units(model, image, exclude) if channels else weight_units(model, exclude)
    curves, left = sensitivity(model, evaluator(batches, data.task), found[0], rates)
    return {
        "granularity": granularity,
        "images": sum(len(batch.image) for batch in batches),
        "curves": [asdict(curve) for curve in curves],
        "left": found[1] | left,
    }


def validation(data: DataModule, count: int, device: torch.device) -> list[Batch]:
    """Batches of ``count`` stratified validation images."""
    samples = data.parts.val
    if not len(samples.targets) or count < 1:
        allowed = "a number above 0, and data with a validation part"
        raise ConfigError("images", count, allowed)
    index = take(samples.targets, count, data.split_seed)
    normalise, targets = Normalise(data.mean, data.std), samples.targets.cpu()
    return [
        Batch(image.to(device), target.to(device), part)
        for part in index.split(data.eval_batch_size)
        for image, target in [cut(normalise(samples.read(part).cpu()), targets[part])]
    ]


def evaluator(batches: Sequence[Batch], task: Task) -> Callable[[nn.Module], Score]:
    """A function that scores a model on these batches, which stay in memory."""

    def evaluate(model: nn.Module) -> Score:
        right = lost = total = 0.0
        for image, target, _ in batches:
            logits, asked = task.decisions(model(image), target)
            right += (task.decide(logits) == asked).float().mean().item() * len(asked)
            lost += task.hard_loss(logits, asked).item() * len(asked)
            total += len(asked)
        return Score(right / total, lost / total)

    return evaluate
