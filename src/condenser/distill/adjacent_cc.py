"""Correlation congruence, as the distillation tables have it."""

from __future__ import annotations

import torch
from torch import Tensor

from condenser.distill.contrastive import EmbeddingObjective


class AdjacentCC(EmbeddingObjective):
    """L = mean over i of Σ_d δ_id·δ_(i+1)d, δ = |W_s·x_s - W_t·x_t| for sample i of the batch.

    Both embeddings are learnt. Of a batch's correlations only those of neighbours in its order
    count, so that the loss depends on that order. Usual weight 0.02. The paper's loss is ``CC``.

    Args:
        dimensions: of the embeddings, at least 1.

    Raises:
        ConfigError: no dimensions.

    Source: code that the authors of https://arxiv.org/abs/1904.01802 gave to Tian et al. 2020,
    https://github.com/HobbitLong/RepDistiller
    """

    def compare(self, student: list[Tensor], teacher: list[Tensor], target: Tensor) -> Tensor:
        sides = zip(self.embed_student, student, self.embed_teacher, teacher, strict=True)
        gaps = [(e_s(s.flatten(1)) - e_t(t.flatten(1))).abs() for e_s, s, e_t, t in sides]
        return torch.stack([(gap[:-1] * gap[1:]).sum(dim=1).mean() for gap in gaps]).sum()
