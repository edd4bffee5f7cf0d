"""The granularity interface: which weights are pruned together."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from condenser.errors import ConfigError


class Granularity:
    """Single weights; subclasses make larger groups.

    A group's score is the sum of its living weights' scores, and it falls as a whole. The scores of
    a layer's groups have the weight's shape, but for 1 where a group spans a dimension.

    Attributes:
        rate: the fraction of zeros that it leaves by itself, if it does.
    """

    rate: float | None = None

    def select(self, model: nn.Module, layers: Sequence[str]) -> list[str]:
        """Those of ``layers`` that have such groups; the others are left alone.

        Raises:
            ConfigError: none has, or one has no whole number of them.
        """
        return list(layers)

    def spans(self, weight: Tensor) -> tuple[int, ...]:
        """The dimensions of the weight that lie within a group."""
        return ()

    def groups(self, layer: nn.Module, scores: Tensor, alive: Tensor) -> Tensor:
        """Scores of the layer's groups from those of its weights; -∞ where all is dropped already.

        Args:
            scores, alive: of the weight's shape; alive is False where it is dropped already.
        """
        spans = self.spans(scores)
        if not spans:
            return scores.masked_fill(~alive, -torch.inf)
        total = scores.masked_fill(~alive, 0).sum(spans, keepdim=True)
        return total.masked_fill(~alive.any(spans, keepdim=True), -torch.inf)

    def refuse(self, model: nn.Module, what: str) -> ConfigError:
        """The error of a network that lacks ``what`` it works on."""
        name = f"a network with {what}, unlike this {type(model).__name__} without what is excluded"
        return ConfigError("prune.granularity", type(self).__name__, name)


def convolution(layer: nn.Module) -> bool:
    return isinstance(layer, nn.Conv1d | nn.Conv2d | nn.Conv3d)


def output_layer(model: nn.Module) -> str:
    """The name of the last linear layer or convolution, whose outputs are the network's own."""
    kinds = (nn.Linear, nn.modules.conv._ConvNd)
    return [name for name, layer in model.named_modules() if isinstance(layer, kinds)][-1]
