"""Simple recipe distillation: linear projector, normalised features, log-sum distance."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from condenser.capture import penultimate_pair
from condenser.distill.feature import FeatureObjective, Layers
from condenser.errors import ConfigError
from condenser.functional.features import batch_normalize
from condenser.functional.relation_losses import log_sum


class SRD(FeatureObjective):
    """L = log Σ |BN(W·x_s) - BN(x_t)|^α over the batch and features, W a linear layer.

    BN is batch normalisation with the batch's own statistics and no parameters. 1e-5 is added to
    the sum. Usual weight 2, with the soft labels at T = 1 beside it.

    Args:
        exponent: α >= 1; the larger, the more the features that fit worst count.

    Raises:
        ConfigError: exponent below 1, where the gradient is not finite.

    Source: Miles, Mikolajczyk, "Understanding the Role of the Projector in Knowledge Distillation",
    AAAI 2024, https://arxiv.org/abs/2303.11098; code:
    https://github.com/roymiles/Simple-Recipe-Distillation
    """

    pairs = penultimate_pair
    relational = True

    def __init__(
        self,
        exponent: float = 4.0,
        student_layers: Layers = "auto",
        teacher_layers: Layers = "auto",
    ) -> None:
        super().__init__(student_layers, teacher_layers)
        if not exponent >= 1:
            raise ConfigError("distill.exponent", exponent, ">= 1")
        self.exponent = exponent

    def build(self, student: list[Tensor], teacher: list[Tensor]) -> None:
        self.projectors = nn.ModuleList(
            nn.Linear(s[0].numel(), t[0].numel()) for s, t in zip(student, teacher, strict=True)
        )

    def compare(self, student: list[Tensor], teacher: list[Tensor], target: Tensor) -> Tensor:
        sides = zip(self.projectors, student, teacher, strict=True)
        pairs = [
            (batch_normalize(w(s.flatten(1))), batch_normalize(t.flatten(1))) for w, s, t in sides
        ]
        return torch.stack([log_sum(s, t, self.exponent) for s, t in pairs]).sum()
