"""The size of a weight, and of a channel's weights together."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from condenser.compress.base import CalibrationData
from condenser.compress.groups import IN, OUT, Group
from condenser.compress.scores.base import Criterion
from condenser.compress.scores.reduction import Scores
from condenser.errors import positive


class Norm(Criterion):
    """|w|^p; of a channel ‖w‖ of the filters that make it, (Σ |w|^p)^(1/p).

    Args:
        p: 1 or 2, or another power.
        readers: of a channel, count the weights that read it too, as DepGraph does.
        relative: of channels, divide by the group's mean, so that groups of different fan-in can
            be compared.

    Source: Li et al., "Pruning Filters for Efficient ConvNets", 2017,
    https://arxiv.org/abs/1608.08710; readers and means: Fang et al., "DepGraph: Towards Any
    Structural Pruning", 2023, https://arxiv.org/abs/2301.12900
    """

    def __init__(self, p: float = 1, readers: bool = False, relative: bool = True) -> None:
        self.p, self.relative = positive("criterion.p", p), relative
        self.sides = (OUT, IN) if readers else (OUT,)

    def __call__(self, name: str, weight: nn.Parameter) -> Tensor:
        return weight.detach().abs() ** self.p

    def channels(
        self, model: nn.Module, groups: list[Group], calibration: CalibrationData | None
    ) -> Scores:
        sums = super().channels(model, groups, calibration)
        scores = {name: powers ** (1 / self.p) for name, powers in sums.items()}
        if not self.relative:
            return scores
        return {n: s / s.mean().clamp_min(torch.finfo(s.dtype).tiny) for n, s in scores.items()}


class Magnitude(Norm):
    """|w|: small weights matter least. A group's score is its L1 norm.

    Sources: Han, Pool, Tran, Dally, "Learning both Weights and Connections", 2015,
    https://arxiv.org/abs/1506.02626; of filters: Li, Kadav, Durdanovic, Samet, Graf, "Pruning
    Filters for Efficient ConvNets", 2017, https://arxiv.org/abs/1608.08710
    """

    def __init__(self) -> None:
        super().__init__(p=1)


class L2(Norm):
    """w². A group's score is its squared L2 norm, which ranks groups as the norm does; single
    weights rank as by magnitude.

    Source: He, Kang, Dong, Fu, Yang, "Soft Filter Pruning for Accelerating Deep Convolutional
    Neural Networks", 2018, https://arxiv.org/abs/1808.06866
    """

    def __init__(self) -> None:
        super().__init__(p=2)
