"""How important a weight is."""

from __future__ import annotations

from torch import Tensor, nn


class Magnitude:
    """|w|: small weights matter least.

    Source: Han, Pool, Tran, Dally, "Learning both Weights and Connections", 2015,
    https://arxiv.org/abs/1506.02626
    """

    def __call__(self, name: str, weight: nn.Parameter) -> Tensor:
        return weight.detach().abs()
