"""Knowledge review."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from condenser.capture import Pairs, penultimate_pair, preactivations_of, stage_pairs
from condenser.distill.feature import FeatureObjective
from condenser.errors import count
from condenser.functional.features import as_map
from condenser.functional.map_losses import pyramid


def review_pairs(student: nn.Module, teacher: nn.Module, image: Tensor) -> Pairs:
    """The student's stages, the teacher's pre-activation stages, and both classifiers' inputs."""
    own, given = stage_pairs(student, teacher, image)
    ends = penultimate_pair(student, teacher, image)
    return own + ends[0], preactivations_of(teacher, image, given) + ends[1]


class Fusion(nn.Module):
    """Attention-based fusion of a stage with the deeper ones, then a projection to the teacher.

    x = a·conv(F) + b·deeper with a, b = σ(conv[conv(F), deeper]) at each place; the deepest stage
    has no deeper input. Returns the teacher-like map and x, both at the teacher's size.
    """

    def __init__(self, before: int, middle: int, after: int, deepest: bool) -> None:
        super().__init__()
        self.enter, self.leave = step(before, middle, 1), step(middle, after, 3)
        self.gate = None if deepest else nn.Conv2d(2 * middle, 2, 1)

    def forward(self, x: Tensor, deeper: Tensor | None, size: torch.Size) -> tuple[Tensor, Tensor]:
        x = self.enter(x)
        if self.gate is not None:
            assert deeper is not None
            a, b = self.gates(self.gate, x, deeper)
            x = a * x + b * resized(deeper, x.shape[2:])
        x = resized(x, size)
        return self.leave(x), x

    @staticmethod
    def gates(gate: nn.Conv2d, x: Tensor, deeper: Tensor) -> tuple[Tensor, ...]:
        """σ(gate[x, deeper]), without their concatenation and at the deeper map's own size."""
        own, other = gate.weight.split(x.shape[1], dim=1)
        asked = F.conv2d(x, own, gate.bias) + resized(F.conv2d(deeper, other), x.shape[2:])
        return asked.sigmoid().split(1, dim=1)


def resized(x: Tensor, size: torch.Size) -> Tensor:
    return x if x.shape[2:] == size else F.interpolate(x, size)


def step(before: int, after: int, size: int) -> nn.Module:
    """A size×size convolution with batch normalisation."""
    conv = nn.Conv2d(before, after, size, padding=size // 2, bias=False)
    nn.init.kaiming_uniform_(conv.weight, a=1)
    return nn.Sequential(conv, nn.BatchNorm2d(after))


class ReviewKD(FeatureObjective):
    """L = Σ over stages of pyramid(fused F_s, F_t), the student's stages fused from the deepest up.

    ``pyramid`` is the mean squared error of the maps and of their pooled versions. Usual weight 0.6
    to 8 by pair, rising from 0 in the first 20 of 240 epochs.

    Args:
        middle: channels in which stages are fused; None: as many as the student's deepest, up to
            512, as the authors have it. That is the width of a convolution in their networks; where
            it is a linear layer's, fusing large maps in it costs more than all the rest.

    Source: Chen, Liu, Zhao, Jia, "Distilling Knowledge via Knowledge Review", CVPR 2021,
    https://arxiv.org/abs/2104.09044; code: https://github.com/dvlab-research/ReviewKD
    """

    pairs = review_pairs

    def __init__(self, *args: Any, middle: int | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.middle = None if middle is None else count("distill.middle", middle, ", or null")

    def build(self, student: list[Tensor], teacher: list[Tensor]) -> None:
        middle, last = self.middle or min(512, student[-1].shape[1]), len(student) - 1
        self.fusions = nn.ModuleList(
            Fusion(s.shape[1], middle, t.shape[1], deepest=depth == last)
            for depth, (s, t) in enumerate(zip(student, teacher, strict=True))
        )

    def compare(self, student: list[Tensor], teacher: list[Tensor], target: Tensor) -> Tensor:
        losses, deeper = [], None
        for fuse, s, t in reversed(list(zip(self.fusions, student, teacher, strict=True))):
            given = as_map(t)
            own, deeper = fuse(as_map(s), deeper, given.shape[2:])
            losses.append(pyramid(own, given))
        return torch.stack(losses).sum()
