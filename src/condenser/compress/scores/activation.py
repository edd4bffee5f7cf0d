"""Weights and what they are multiplied with."""

from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor, nn

from condenser.capture import evaluating, watching
from condenser.compress.base import CalibrationData
from condenser.compress.scores.base import Criterion, Weights, count
from condenser.errors import ConfigError


class Activation(Criterion):
    """|w| · ‖x‖₂, with x the input that the weight multiplies: its feature or channel, over all
    images and positions of a probe.

    The inputs are those of the network as it was before this stage. The paper compares the weights
    of each output by themselves: ``scope=keep_per_output``.

    Args:
        images: how many training images the probe shows.
        batch: how many at once.

    Source: Sun, Liu, Bair, Kolter, "A Simple and Effective Pruning Approach for Large Language
    Models", 2023, https://arxiv.org/abs/2306.11695
    """

    needs_data: ClassVar[bool] = True

    def __init__(self, images: int = 512, batch: int = 128) -> None:
        self.images, self.batch = count("images", images), count("batch", batch)

    def prepare(self, model: nn.Module, weights: Weights, probe: CalibrationData | None) -> None:
        assert probe is not None
        self.energies: dict[str, Tensor] = {}
        self.layers: dict[str, Any] = {name: model.get_submodule(name) for name in weights}
        device = next(iter(weights.values())).device
        with evaluating(model), watching(model, weights, self._add, before=True):
            for part in probe.sample(self.images)[0].to(device).split(self.batch):
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
