"""Contrastive representation distillation within a batch."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from condenser.capture import penultimate_pair
from condenser.distill.feature import FeatureObjective, Layers
from condenser.errors import count, positive
from condenser.functional.features import unit
from condenser.functional.relation_losses import contrast


class CRD(FeatureObjective):
    """L = InfoNCE(s → t) + InfoNCE(t → s) between learnt embeddings s, t of the two networks.

    -log e^(s_i·t_i/τ) / Σ_j e^(s_i·t_j/τ), mean over the batch; s = W_s·x/‖W_s·x‖, t likewise. The
    rivals j are the batch's samples of other classes. The authors draw 16384 of them from a memory
    of the whole training set and estimate the denominator instead (NCE): ``MemoryCRD``.

    Args:
        temperature: τ > 0.
        dimensions: of the embeddings, at least 1.

    Raises:
        ConfigError: a setting out of range.

    Source: Tian, Krishnan, Isola, "Contrastive Representation Distillation", ICLR 2020,
    https://arxiv.org/abs/1910.10699; InfoNCE: van den Oord, Li, Vinyals, "Representation Learning
    with Contrastive Predictive Coding", 2018, https://arxiv.org/abs/1807.03748
    """

    takes_shares: ClassVar[bool] = False

    pairs = penultimate_pair
    relational = True

    def __init__(
        self,
        temperature: float = 0.07,
        dimensions: int = 128,
        student_layers: Layers = "auto",
        teacher_layers: Layers = "auto",
    ) -> None:
        super().__init__(student_layers, teacher_layers)
        self.temperature, self.dimensions = (
            positive("distill.temperature", temperature),
            count("distill.dimensions", dimensions),
        )

    def build(self, student: list[Tensor], teacher: list[Tensor]) -> None:
        def embedding(feature: Tensor) -> nn.Module:
            return nn.Linear(feature[0].numel(), self.dimensions)

        self.embed_student = nn.ModuleList(embedding(feature) for feature in student)
        self.embed_teacher = nn.ModuleList(embedding(feature) for feature in teacher)

    def compare(self, student: list[Tensor], teacher: list[Tensor], target: Tensor) -> Tensor:
        own = embedded(self.embed_student, student)
        given = embedded(self.embed_teacher, teacher)
        pairs = zip(own, given, strict=True)
        return torch.stack([contrast(s, t, target, self.temperature) for s, t in pairs]).sum()


def embedded(embeddings: nn.ModuleList, features: list[Tensor]) -> list[Tensor]:
    """Each feature's embedding, of length 1."""
    return [unit(e(f.flatten(1)), dim=1) for e, f in zip(embeddings, features, strict=True)]
