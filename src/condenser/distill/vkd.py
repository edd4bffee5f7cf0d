"""VkD: an orthogonal projection to normalised features of the teacher."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import orthogonal

from condenser.capture import penultimate_pair
from condenser.distill.feature import FeatureObjective


class VkD(FeatureObjective):
    """L = mean huber(P·x_s - norm(x_t)), δ = 1: P orthogonal, norm by each sample's mean and std.

    P keeps angles between the student's features, so that it cannot learn what the student should:
    its columns are orthonormal (its rows, where the teacher's features are fewer), by a
    parametrisation. Usual weight 1, with the soft labels beside it.

    The paper whitens x_t instead of ``norm`` where images are generated.

    Source: Miles, Elezi, Deng, "VkD: Improving Knowledge Distillation using Orthogonal
    Projections", CVPR 2024, https://arxiv.org/abs/2403.06213; code:
    https://github.com/roymiles/VkD
    """

    pairs = penultimate_pair

    def build(self, student: list[Tensor], teacher: list[Tensor]) -> None:
        sizes = [(s[0].numel(), t[0].numel()) for s, t in zip(student, teacher, strict=True)]
        self.projectors = nn.ModuleList(orthogonal(nn.Linear(*s, bias=False)) for s in sizes)

    def compare(self, student: list[Tensor], teacher: list[Tensor], target: Tensor) -> Tensor:
        sides = zip(self.projectors, student, teacher, strict=True)
        return torch.stack([self.gap(p, s.flatten(1), t.flatten(1)) for p, s, t in sides]).sum()

    @staticmethod
    def gap(projector: nn.Module, student: Tensor, teacher: Tensor) -> Tensor:
        return F.smooth_l1_loss(projector(student), F.layer_norm(teacher, teacher.shape[1:]))
