"""Activation boundaries."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from condenser.capture import preactivation_pairs
from condenser.distill.feature import FeatureObjective, Layers
from condenser.errors import positive
from condenser.functional.features import same_size
from condenser.functional.map_losses import boundary


class AB(FeatureObjective):
    """L = Σ over stages l of n of 2^(l-n) · Σ (r(F_s) on the teacher's wrong side of ±m)² / batch.

    Before the activation, F_s shall be above m where F_t is above 0, and below -m elsewhere. r is a
    learnt 1×1 convolution with batch normalisation, left out where the shapes agree. It is a sum
    over channels and places: usual weight 0.003.

    The authors train by this alone before the labels; here it is a term of the loss.

    Args:
        margin: m > 0.

    Raises:
        ConfigError: no positive margin.

    Source: Heo, Lee, Yun, Choi, "Knowledge Transfer via Distillation of Activation Boundaries
    Formed by Hidden Neurons", AAAI 2019, https://arxiv.org/abs/1811.03233; code:
    https://github.com/bhheo/AB_distillation
    """

    pairs = preactivation_pairs

    def __init__(
        self, margin: float = 1.0, student_layers: Layers = "auto", teacher_layers: Layers = "auto"
    ) -> None:
        super().__init__(student_layers, teacher_layers)
        self.margin = positive("distill.margin", margin)

    def build(self, student: list[Tensor], teacher: list[Tensor]) -> None:
        pairs = zip(student, teacher, strict=True)
        self.connectors = nn.ModuleList(connector(s, t) for s, t in pairs)

    def compare(self, student: list[Tensor], teacher: list[Tensor], target: Tensor) -> Tensor:
        losses = []
        for depth, build_projectors in enumerate(self.connectors, start=1 - len(student)):
            own, given = same_size(student[depth - 1], teacher[depth - 1])
            losses.append(2.0**depth * boundary(build_projectors(own), given, self.margin))
        return torch.stack(losses).sum()


def connector(student: Tensor, teacher: Tensor) -> nn.Module:
    """r for features of these shapes."""
    if student.shape[1:] == teacher.shape[1:]:
        return nn.Identity()
    width = teacher.shape[1]
    return nn.Sequential(nn.Conv2d(student.shape[1], width, 1), nn.BatchNorm2d(width))
