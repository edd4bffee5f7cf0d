"""The size of a weight."""

from __future__ import annotations

from torch import Tensor, nn

from condenser.compress.scores.base import Criterion


class Magnitude(Criterion):
    """|w|: small weights matter least. A group's score is its L1 norm.

    Sources: Han, Pool, Tran, Dally, "Learning both Weights and Connections", 2015,
    https://arxiv.org/abs/1506.02626; of filters: Li, Kadav, Durdanovic, Samet, Graf, "Pruning
    Filters for Efficient ConvNets", 2017, https://arxiv.org/abs/1608.08710
    """

    def __call__(self, name: str, weight: nn.Parameter) -> Tensor:
        return weight.detach().abs()
