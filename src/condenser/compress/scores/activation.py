"""Weights and what they are multiplied with."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from condenser.capture import evaluating, watching
from condenser.compress.base import CalibrationData
from condenser.compress.groups import IN, Group
from condenser.compress.scores.base import Criterion, Weights
from condenser.compress.scores.reduction import Scores, means
from condenser.errors import ConfigError, count


class Activation(Criterion):
    """|w| · ‖x‖₂, with x the input that the weight multiplies: its feature or channel, over all
    images and positions of the calibration data.

    The inputs are those of the network as it was before this stage. The paper compares the weights
    of each output by themselves: ``scope=keep_per_output``. A channel's score is the mean |x| of
    it where it is read, without the weights.

    Args:
        images: of calibration, training images.
        batch: how many at once.

    Sources: Sun, Liu, Bair, Kolter, "A Simple and Effective Pruning Approach for Large Language
    Models", 2023, https://arxiv.org/abs/2306.11695; of channels: Molchanov, Tyree, Karras, Aila,
    Kautz, "Pruning Convolutional Neural Networks for Resource Efficient Inference", 2017,
    https://arxiv.org/abs/1611.06440
    """

    needs_data: ClassVar[bool] = True

    def __init__(self, images: int = 512, batch: int = 128) -> None:
        self.images, self.batch = count("criterion.images", images), count("criterion.batch", batch)

    def prepare(
        self, model: nn.Module, weights: Weights, calibration: CalibrationData | None
    ) -> None:
        assert calibration is not None
        self.energies: dict[str, Tensor] = {}
        self.layers: dict[str, Any] = {name: model.get_submodule(name) for name in weights}
        device = next(iter(weights.values())).device
        with evaluating(model), watching(model, weights, self._add, before=True):
            for part in calibration.sample(self.images)[0].to(device).split(self.batch):
                model(part)
        if unseen := [name for name in weights if name not in self.energies]:
            allowed = f"patterns of all layers that are not called: {', '.join(unseen)}"
            raise ConfigError("prune.exclude", unseen, allowed)

    def _add(self, name: str, layer: Any, inputs: tuple[Tensor, ...]) -> None:
        """Add up x² by input feature (the last dimension) or channel (dimension 1)."""
        x = inputs[0].detach().double()
        x = x if isinstance(layer, nn.Linear) else x.movedim(-layer.weight.ndim + 1, -1)
        self.energies[name] = self.energies.get(name, 0) + x.flatten(0, -2).square().sum(0)

    def __call__(self, name: str, weight: nn.Parameter) -> Tensor:
        norm = self.energies[name].sqrt().to(weight)
        layer = self.layers[name]
        if getattr(layer, "transposed", False):
            norm = norm[:, None]
        elif (groups := getattr(layer, "groups", 1)) > 1:
            norm = norm.view(groups, -1).repeat_interleave(len(weight) // groups, 0)
        else:
            norm = norm[None]
        return weight.detach().abs() * norm.view(*norm.shape, *[1] * (weight.ndim - 2))

    def channels(
        self, model: nn.Module, groups: list[Group], calibration: CalibrationData | None
    ) -> Scores:
        images, _ = self.needed(calibration).sample(self.images)
        read = {g.name: [part for part in g.slices if part.side == IN] for g in groups}
        sizes = input_sizes(model, {p.layer for parts in read.values() for p in parts}, images)
        scores = {
            g.name: means(g, ((p, sizes[p.layer][p.position]) for p in read[g.name]))
            for g in groups
        }
        return {name: score for name, score in scores.items() if score is not None}


def input_sizes(
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
