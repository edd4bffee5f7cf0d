"""Random scores: the baseline."""

from __future__ import annotations

from hashlib import blake2b

import torch
from torch import Tensor, nn

from condenser.compress.base import CalibrationData
from condenser.compress.groups import Group
from condenser.compress.scores.base import Criterion
from condenser.compress.scores.reduction import Scores
from condenser.errors import ConfigError


class Random(Criterion):
    """Scores from N(0, 1), a function of the seed, the layer's name and the weight's shape alone.

    Their mean is 0, so that a large group has no larger sum than a small one, on average. Channels
    are no sums here: theirs are drawn from U(0, 1), so that all groups are alike.

    Args:
        seed: a whole number.
    """

    def __init__(self, seed: int = 0) -> None:
        if not isinstance(seed, int) or isinstance(seed, bool):
            raise ConfigError("criterion.seed", seed, "a whole number")
        self.seed = seed

    def __call__(self, name: str, weight: nn.Parameter) -> Tensor:
        digest = blake2b(f"{self.seed} {name}".encode(), digest_size=7).digest()
        generator = torch.Generator().manual_seed(int.from_bytes(digest))
        return torch.randn(weight.shape, generator=generator).to(weight.device)

    def channels(
        self, model: nn.Module, groups: list[Group], calibration: CalibrationData | None
    ) -> Scores:
        generator = torch.Generator().manual_seed(self.seed)
        return {group.name: torch.rand(group.size, generator=generator) for group in groups}
