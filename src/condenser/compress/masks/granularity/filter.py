"""Filters: all weights of one output channel."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from condenser.compress.masks.granularity.base import Granularity, convolution, output_layer


class Filter(Granularity):
    """Groups of one output channel of a convolution.

    Linear layers, transposed convolutions and the network's last layer are left alone. Biases and
    batch norms stay, so that a dropped channel is a constant; taking it out is ``cut``'s work.

    Source: Li, Kadav, Durdanovic, Samet, Graf, "Pruning Filters for Efficient ConvNets", 2017,
    https://arxiv.org/abs/1608.08710
    """

    def select(self, model: nn.Module, layers: Sequence[str]) -> list[str]:
        """Raises ConfigError for a network without convolutions."""
        inner = [name for name in layers if name != output_layer(model)]
        if found := [name for name in inner if convolution(model.get_submodule(name))]:
            return found
        raise self.refuse(model, "convolutions before its last layer")

    def spans(self, weight: Tensor) -> tuple[int, ...]:
        return tuple(range(1, weight.ndim))
