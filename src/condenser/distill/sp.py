"""Similarity-preserving distillation."""

from __future__ import annotations

from torch import Tensor

from condenser.capture import last_pair
from condenser.distill.feature import FeatureObjective
from condenser.functional.relation_losses import similarity


class SP(FeatureObjective):
    """L = Σ over layers of ‖G_s - G_t‖²_F / batch².

    G = F·Fᵀ of the features (batch, everything else), each row divided by its norm: which samples
    activate the network alike. Usual weight 3000, on the last stage.

    Source: Tung, Mori, "Similarity-Preserving Knowledge Distillation", ICCV 2019,
    https://arxiv.org/abs/1907.09682
    """

    pairs = last_pair
    relational = True

    def distance(self, student: Tensor, teacher: Tensor) -> Tensor:
        return similarity(student, teacher)
