"""Wasserstein distance between Gaussians of features."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from condenser.capture import last_pair
from condenser.distill.feature import FeatureObjective, Layers
from condenser.errors import fraction, nonnegative
from condenser.functional.features import same_size
from condenser.functional.map_losses import moments
from condenser.functional.schedules import cosine_tail


class WKDF(FeatureObjective):
    """L = r·mean over the batch of ρ·‖μ_s - μ_t‖² + ‖σ_s - σ_t‖², of the last stage.

    The squared 2-Wasserstein distance of two Gaussians with diagonal covariance, ρ > 1 weighing
    their means: μ and σ = √(var + 1e-5), (batch, channels), are those of a channel over its
    places, of the teacher's map F_t and of ReLU(BN(W·F_s)), W a learnt 1×1 convolution.
    r is 1 and from ``decay`` on half a cosine down to 0. Usual weight 0.08.

    Args:
        mean_weight: ρ >= 0; 4, and 8 beside WKD-L, in the authors' CIFAR-100 settings.
        decay: part of training, in [0, 1], from which r falls: their epoch 150 of 240; 1: never.

    Raises:
        ConfigError: a setting out of range.

    Of maps of different sizes the larger is pooled; the authors' W has a stride or is transposed.

    Source: Lv, Yang, Li, "Wasserstein Distance Rivals Kullback-Leibler Divergence for Knowledge
    Distillation", NeurIPS 2024, https://arxiv.org/abs/2412.08139; code:
    https://github.com/JiamingLv/WKD
    """

    pairs = last_pair
    maps = True

    def __init__(
        self,
        mean_weight: float = 4.0,
        decay: float = 0.625,
        student_layers: Layers = "auto",
        teacher_layers: Layers = "auto",
    ) -> None:
        super().__init__(student_layers, teacher_layers)
        self.mean_weight = nonnegative("distill.mean_weight", mean_weight)
        self.decay, self.left = fraction("distill.decay", decay), 1.0

    def progress(self, done: float) -> None:
        self.left = cosine_tail(done, self.decay)

    def build(self, student: list[Tensor], teacher: list[Tensor]) -> None:
        def projector(before: int, after: int) -> nn.Module:
            return nn.Sequential(nn.Conv2d(before, after, 1), nn.BatchNorm2d(after), nn.ReLU())

        pairs = zip(student, teacher, strict=True)
        self.projectors = nn.ModuleList(projector(s.shape[1], t.shape[1]) for s, t in pairs)

    def compare(self, student: list[Tensor], teacher: list[Tensor], target: Tensor) -> Tensor:
        sides = zip(self.projectors, student, teacher, strict=True)
        return self.left * torch.stack([self.gap(p, *same_size(s, t)) for p, s, t in sides]).sum()

    def gap(self, projector: nn.Module, student: Tensor, teacher: Tensor) -> Tensor:
        (mean_s, std_s), (mean_t, std_t) = moments(projector(student)), moments(teacher)
        means = (mean_s - mean_t).square().sum(dim=1).mean()
        return self.mean_weight * means + (std_s - std_t).square().sum(dim=1).mean()
