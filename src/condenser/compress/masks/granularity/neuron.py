"""Neurons: all weights of one output unit."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from condenser.compress.masks.granularity.base import Granularity, output_layer


class Neuron(Granularity):
    """Groups of one output unit of a linear layer: a row of its weight.

    Convolutions and the network's last layer are left alone. Biases stay, so that a dropped unit is
    a constant.

    Source: Srinivas, Babu, "Data-free Parameter Pruning for Deep Neural Networks", 2015, prunes
    units too, https://arxiv.org/abs/1507.06149
    """

    def select(self, model: nn.Module, layers: Sequence[str]) -> list[str]:
        """Raises ConfigError for a network without hidden linear layers."""
        inner = [name for name in layers if name != output_layer(model)]
        if found := [n for n in inner if isinstance(model.get_submodule(n), nn.Linear)]:
            return found
        raise self.refuse(model, "linear layers before its last layer")

    def spans(self, weight: Tensor) -> tuple[int, ...]:
        return (1,)
