"""Flow of solution procedure."""

from __future__ import annotations

from itertools import pairwise
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from condenser.distill.feature import FeatureObjective
from condenser.errors import ConfigError
from condenser.functional.map_losses import flow


class FSP(FeatureObjective):
    """L = Σ over consecutive stages of mean (G_s - G_t)², G_ij = mean over places of F_i · F'_j.

    G is the Gram matrix between the channels of a stage's map F and the next one's F', the larger
    map pooled. Where a student's stage has other channels than the teacher's, a learnt 1×1
    convolution comes before. Usual weight 50.

    The authors take the first and last layer of each stage, and train by this alone before the
    labels; here it is a term of the loss.

    Raises:
        ConfigError: fewer than two stages.

    Source: Yim, Joo, Bae, Kim, "A Gift from Knowledge Distillation: Fast Optimization, Network
    Minimization and Transfer Learning", CVPR 2017,
    https://openaccess.thecvf.com/content_cvpr_2017/html/Yim_A_Gift_From_CVPR_2017_paper.html
    """

    maps: ClassVar[bool] = True

    def build(self, student: list[Tensor], teacher: list[Tensor]) -> None:
        if len(student) < 2:
            raise ConfigError("distill.student_layers", self.student_layers, "two layers or more")
        widths = [(s.shape[1], t.shape[1]) for s, t in zip(student, teacher, strict=True)]
        self.projectors = nn.ModuleList(
            nn.Identity() if own == given else nn.Conv2d(own, given, 1) for own, given in widths
        )

    def compare(self, student: list[Tensor], teacher: list[Tensor], target: Tensor) -> Tensor:
        own = [project(s) for project, s in zip(self.projectors, student, strict=True)]
        flows = zip(flows_of(own), flows_of(teacher), strict=True)
        return torch.stack([F.mse_loss(s, t) for s, t in flows]).sum()


def flows_of(maps: list[Tensor]) -> list[Tensor]:
    """G of each map with the next."""
    return [flow(first, last) for first, last in pairwise(maps)]
