"""Projector ensemble: the mean of several projections of the student's features."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from condenser.capture import penultimate_pair
from condenser.distill.feature import FeatureObjective, Layers
from condenser.errors import count
from condenser.functional.features import unit


class ProjectorEnsemble(FeatureObjective):
    """L = 1 - cos(mean_k ReLU(W_k·x_s + b_k), x_t), mean over the batch.

    Each projector starts elsewhere and so learns something else; their mean generalises better
    than one. Usual weight 25.

    Args:
        projectors: how many.

    Raises:
        ConfigError: fewer than one.

    Source: Chen, Wang, Liu, Xu, de Hoog, Huang, "Improved Feature Distillation via Projector
    Ensemble", NeurIPS 2022, https://arxiv.org/abs/2210.15274; code:
    https://github.com/chenyd7/PEFD
    """

    pairs = penultimate_pair

    def __init__(
        self,
        projectors: int = 3,
        student_layers: Layers = "auto",
        teacher_layers: Layers = "auto",
    ) -> None:
        super().__init__(student_layers, teacher_layers)
        self.projectors = count("distill.projectors", projectors)

    def build(self, student: list[Tensor], teacher: list[Tensor]) -> None:
        def several(before: int, after: int) -> nn.ModuleList:
            return nn.ModuleList(nn.Linear(before, after) for _ in range(self.projectors))

        pairs = zip(student, teacher, strict=True)
        self.ensembles = nn.ModuleList(several(s[0].numel(), t[0].numel()) for s, t in pairs)

    def compare(self, student: list[Tensor], teacher: list[Tensor], target: Tensor) -> Tensor:
        sides = zip(self.ensembles, student, teacher, strict=True)
        return torch.stack(
            [self.gap(list(e.children()), s.flatten(1), t.flatten(1)) for e, s, t in sides]
        ).sum()

    @staticmethod
    def gap(ensemble: Iterable[nn.Module], student: Tensor, teacher: Tensor) -> Tensor:
        projected = torch.stack([project(student).relu() for project in ensemble]).mean(dim=0)
        return 1 - (unit(projected, dim=1) * unit(teacher, dim=1)).sum(dim=1).mean()
