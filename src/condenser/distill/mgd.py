"""Masked generative distillation."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from condenser.capture import last_pair
from condenser.distill.feature import FeatureObjective, Layers
from condenser.errors import fraction
from condenser.functional.features import same_size


class MGD(FeatureObjective):
    """L = Σ (G(m·A·F_s) - F_t)² / batch, of the last stage: to generate the teacher's whole map
    from a part of the student's.

    G is a 3×3 convolution, ReLU, and another; A a 1×1 convolution where the channels differ; the
    mask m, drawn anew for each sample and channel, is 0 with probability ``masked``. Usual weight
    7e-5.

    Args:
        masked: from 0 to 1; 0.15 for classifiers, which the authors mask by channel, as here; by
            place for detectors and segmentation.

    Raises:
        ConfigError: masked out of range.

    Of maps of different sizes the larger is pooled; the authors have none.

    Source: Yang, Li, Shao, Shi, Yuan, Yuan, "Masked Generative Distillation", ECCV 2022,
    https://arxiv.org/abs/2205.01529; code: https://github.com/yzd-v/MGD
    """

    pairs = last_pair
    maps = True
    stochastic: ClassVar[bool] = True

    def __init__(
        self,
        masked: float = 0.15,
        student_layers: Layers = "auto",
        teacher_layers: Layers = "auto",
    ) -> None:
        super().__init__(student_layers, teacher_layers)
        self.masked = fraction("distill.masked", masked)

    def build(self, student: list[Tensor], teacher: list[Tensor]) -> None:
        pairs = [(s.shape[1], t.shape[1]) for s, t in zip(student, teacher, strict=True)]
        self.aligned = nn.ModuleList(
            nn.Conv2d(s, t, 1) if s != t else nn.Identity() for s, t in pairs
        )
        self.generators = nn.ModuleList(generator(t) for _, t in pairs)

    def compare(self, student: list[Tensor], teacher: list[Tensor], target: Tensor) -> Tensor:
        losses = []
        sides = zip(self.aligned, self.generators, student, teacher, strict=True)
        for align, generate, s, t in sides:
            own, given = same_size(s, t)
            own = align(own)
            made = generate(own * (self.draw(own) >= self.masked))
            losses.append((made - given).square().sum() / len(given))
        return torch.stack(losses).sum()

    def draw(self, feature: Tensor) -> Tensor:
        """Uniform in [0, 1), a number for each sample and channel."""
        return torch.rand(*feature.shape[:2], 1, 1, device=feature.device)


def generator(channels: int) -> nn.Module:
    """G."""
    first, last = (nn.Conv2d(channels, channels, 3, padding=1) for _ in range(2))
    return nn.Sequential(first, nn.ReLU(), last)
