"""Importance of channels seen on training images."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from condenser.capture import evaluating, watching
from condenser.compress.base import CalibrationData
from condenser.compress.channels.groups import IN, Group
from condenser.compress.channels.importance import (
    Importance,
    Scores,
    mean_of,
    per_channel,
    spread,
    weights_of,
)
from condenser.errors import ConfigError


class Taylor(Importance):
    """Mean over batches of (Σ w · ∂loss/∂w)² over the weights that read the channel.

    That sum is the loss's first-order change, but for the sign, when the channel goes; what makes
    the channel cannot tell, since a batch norm undoes its scale.

    Args:
        images: how many training images to look at.
        batch: images a gradient.

    Source: Molchanov et al., "Importance Estimation for Neural Network Pruning", 2019,
    https://arxiv.org/abs/1906.10771
    """

    def __init__(self, images: int = 512, batch: int = 32) -> None:
        self.images, self.batch = positive("images", images), positive("batch", batch)

    def __call__(
        self, model: nn.Module, groups: list[Group], probe: CalibrationData | None
    ) -> Scores:
        seen, targets = needed(probe, "Taylor").sample(self.images)
        scores = {group.name: torch.zeros(group.size) for group in groups}
        batches = list(zip(seen.split(self.batch), targets.split(self.batch), strict=True))
        for batch in batches:
            gradients = gradients_of(model, groups, needed(probe, "Taylor").loss, *batch)
            for group in groups:
                change = torch.zeros(group.size)
                for part, weight in weights_of(model, group, (IN,)):
                    product = weight.detach() * gradients[part.layer]
                    change += per_channel(group, part, spread(product, part))
                scores[group.name] += change**2 / len(batches)
        return scores


def gradients_of(
    model: nn.Module,
    groups: list[Group],
    loss: Callable[[Tensor, Tensor], Tensor],
    images: Tensor,
    targets: Tensor,
) -> dict[str, Tensor]:
    """∂loss/∂weight of every layer that reads one of the groups; ``.grad`` is left alone."""
    readers = {p.layer: w for g in groups for p, w in weights_of(model, g, (IN,))}
    frozen = [weight for weight in readers.values() if not weight.requires_grad]
    with evaluating(model), torch.enable_grad():
        for weight in frozen:
            weight.requires_grad_(True)
        value = loss(model(images), targets)
        gradients = torch.autograd.grad(value, list(readers.values()))
        for weight in frozen:
            weight.requires_grad_(False)
    return dict(zip(readers, gradients, strict=True))


class Activation(Importance):
    """Mean |x| of a channel where it is read, over training images.

    Args:
        images: how many to look at.

    Source: Molchanov et al., "Pruning Convolutional Neural Networks for Resource Efficient
    Inference", 2017, https://arxiv.org/abs/1611.06440
    """

    def __init__(self, images: int = 512) -> None:
        self.images = positive("images", images)

    def __call__(
        self, model: nn.Module, groups: list[Group], probe: CalibrationData | None
    ) -> Scores:
        images, _ = needed(probe, "Activation").sample(self.images)
        readers = {part.layer for group in groups for part in group.slices if part.side == IN}
        means = mean_inputs(model, readers, images)
        scores = {}
        for group in groups:
            read = [part for part in group.slices if part.side == IN]
            parts = ((part, means[part.layer][part.position]) for part in read)
            scores[group.name] = mean_of(group, parts)
        return {name: score for name, score in scores.items() if score is not None}


def mean_inputs(
    model: nn.Module, layers: set[str], images: Tensor, batch: int = 256
) -> dict[str, Tensor]:
    """Mean |x| of each feature that each layer reads, over images and positions."""
    total: dict[str, Tensor] = {}

    def add(name: str, layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        axis = -1 if isinstance(layer, nn.Linear) else 1
        size = inputs[0].detach().abs().movedim(axis, 0).flatten(1).double().mean(1).cpu()
        total[name] = total.get(name, torch.zeros_like(size)) + size * len(inputs[0])

    with evaluating(model), watching(model, sorted(layers), add, before=True):
        for part in images.split(batch):
            model(part)
    return {name: (sums / len(images)).float() for name, sums in total.items()}


def needed(probe: CalibrationData | None, criterion: str) -> CalibrationData:
    """Raises ConfigError where there are no training images to look at."""
    if probe is None:
        allowed = "a criterion that needs no data, such as Norm: there are no training images here"
        raise ConfigError("cut.importance", criterion, allowed)
    return probe


def positive(key: str, value: int) -> int:
    if value < 1:
        raise ConfigError(f"cut.importance.{key}", value, "a whole number from 1 up")
    return value
