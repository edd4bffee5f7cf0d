"""Variational information distillation."""

from __future__ import annotations

import math
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from condenser.distill.feature import FeatureObjective, Layers
from condenser.errors import positive
from condenser.functional.features import same_size
from condenser.functional.map_losses import gaussian

EPS = 1e-5


class VID(FeatureObjective):
    """L = Σ over stages of mean ½[(F_t - μ(F_s))²/σ² + log σ²], σ²_c = softplus(a_c) + 1e-5.

    The teacher's map as a Gaussian that the student's predicts: μ is three 1×1 convolutions with
    ReLU between them, σ² one learnt variance a channel. Usual weight 1. Can be negative.

    Args:
        variance: σ² at the start, above 1e-5.

    Raises:
        ConfigError: no positive variance.

    Source: Ahn, Hu, Damianou, Lawrence, Dai, "Variational Information Distillation for Knowledge
    Transfer", CVPR 2019, https://arxiv.org/abs/1904.05835
    """

    def __init__(
        self,
        variance: float = 5.0,
        student_layers: Layers = "auto",
        teacher_layers: Layers = "auto",
    ) -> None:
        super().__init__(student_layers, teacher_layers)
        self.variance = positive("distill.variance", variance)

    def build(self, student: list[Tensor], teacher: list[Tensor]) -> None:
        start = math.log(math.expm1(self.variance - EPS))  # softplus undoes it
        wide = [t.shape[1] for t in teacher]
        self.means = nn.ModuleList(
            predictor(s.shape[1], w) for s, w in zip(student, wide, strict=True)
        )
        self.scales = nn.ParameterList(torch.full((w,), start) for w in wide)

    def compare(self, student: list[Tensor], teacher: list[Tensor], target: Tensor) -> Tensor:
        losses = []
        for mean, scale, s, t in zip(self.means, self.scales, student, teacher, strict=True):
            own, given = same_size(s, t)
            losses.append(gaussian(mean(own), given, F.softplus(scale) + EPS))
        return torch.stack(losses).sum()


def predictor(before: int, after: int) -> nn.Module:
    """μ, from the student's channels to the teacher's."""
    widths = [before, after, after, after]
    convs = [nn.Conv2d(i, o, 1, bias=False) for i, o in pairwise(widths)]
    return nn.Sequential(convs[0], nn.ReLU(), convs[1], nn.ReLU(), convs[2])
