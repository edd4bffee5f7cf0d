"""Wasserstein distance between predicted distributions over classes."""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from condenser.capture import classifier_of
from condenser.distill.base import LogitObjective, weights_of
from condenser.errors import count, fraction, nonnegative, positive
from condenser.functional.features import unit
from condenser.functional.logit_losses import transport
from condenser.functional.schedules import cosine_tail


class WKDL(LogitObjective):
    """L = w·CE - t_y·log s_y + r·γ·W(ŝ, t̂), mean over the batch.

    W(ŝ, t̂) = Σ_ij π_ij·c_ij is the cost of moving the student's distribution onto the teacher's,
    both over the classes other than the target y at temperature T, by the plan π of Sinkhorn's
    algorithm: mass that goes to a class alike costs less than mass that goes to another.
    c_ij = 1 - e^(-κ·(1 - cos(w_i, w_j))), w_i the teacher's weights of class i. r is 1 and from
    ``decay`` on half a cosine down to 0.

    Args:
        temperature: T > 0.
        transport_weight: γ >= 0: 600 for resnet32x4 → resnet8x4 on CIFAR-100, 200 beside WKD-F,
            30 at T=2 on ImageNet.
        sharpness: κ > 0.
        entropy: of the plan, relative to the costs; > 0.
        iterations: Sinkhorn's.
        hard_weight: w >= 0.
        decay: part of training, in [0, 1], from which r falls: their epoch 150 of 240; 1: never.
        standardize: compare z-scores of the logits.

    Raises:
        ConfigError: a setting out of range, or data of fewer than three classes.
        CondenserError: a teacher that does not end in a linear layer.

    The classes' likeness is that of the teacher's classifier, a choice of the authors' code; its
    published runs take the CKA of the training images' features, pair by pair of classes.

    Source: Lv, Yang, Li, "Wasserstein Distance Rivals Kullback-Leibler Divergence for Knowledge
    Distillation", NeurIPS 2024, https://arxiv.org/abs/2412.08139; code:
    https://github.com/JiamingLv/WKD
    """

    takes_shares: ClassVar[bool] = False
    least_classes: ClassVar[int] = 3
    cost: Tensor

    def __init__(
        self,
        temperature: float = 8.0,
        transport_weight: float = 600.0,
        sharpness: float = 1.0,
        entropy: float = 0.05,
        iterations: int = 10,
        hard_weight: float = 1.0,
        decay: float = 0.625,
        standardize: bool = False,
    ) -> None:
        weights = weights_of(hard=hard_weight, target=1.0, transport=transport_weight)
        super().__init__(weights, standardize)
        self.full = nonnegative("distill.transport_weight", transport_weight)
        self.temperature = positive("distill.temperature", temperature)
        self.sharpness = positive("distill.sharpness", sharpness)
        self.entropy = positive("distill.entropy", entropy)
        self.iterations = count("distill.iterations", iterations)
        self.decay = fraction("distill.decay", decay)

    def progress(self, done: float) -> None:
        self.weights["transport"] = self.full * cosine_tail(done, self.decay)

    def select_layers(self, student: nn.Module, teacher: nn.Module, image: Tensor) -> None:
        directions = unit(classifier_of(teacher, image).linear.weight.detach().float(), dim=1)
        cost = 1 - torch.exp(-self.sharpness * (1 - directions @ directions.T))
        self.register_buffer("cost", cost.relu() + 1e-8, persistent=False)

    def match(self, student: Tensor, teacher: Tensor, target: Tensor) -> dict[str, Tensor]:
        own = target[:, None]
        trust = teacher.softmax(dim=1).gather(1, own)
        log_s = F.log_softmax(student, dim=1).gather(1, own)
        s, t = (
            (x / self.temperature).scatter(1, own, -torch.inf).softmax(dim=1)
            for x in (student, teacher)
        )
        moved = transport(s, t, self.cost.float(), self.entropy, self.iterations)
        return {"target": -(trust * log_s).mean(), "transport": moved.mean()}
