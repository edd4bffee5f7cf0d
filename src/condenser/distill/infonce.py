"""InfoNCE between teacher and student within a batch."""

from __future__ import annotations

import torch
from torch import Tensor

from condenser.distill.contrastive import Contrastive, embedded
from condenser.functional.relation_losses import contrast


class InfoNCE(Contrastive):
    """L = InfoNCE(s → t) + InfoNCE(t → s) between learnt embeddings s, t of the two networks.

    -log e^(s_i·t_i/τ) / Σ_j e^(s_i·t_j/τ), mean over the batch; s = W_s·x/‖W_s·x‖, t likewise. The
    rivals j are the batch's samples of other classes. ``CRD`` draws 16384 of them from a memory of
    the whole training set and estimates the denominator instead. Usual weight 0.8, that of CRD.

    Args:
        temperature: τ > 0.
        dimensions: of the embeddings, at least 1.

    Raises:
        ConfigError: a setting out of range.

    Source: van den Oord, Li, Vinyals, "Representation Learning with Contrastive Predictive
    Coding", 2018, https://arxiv.org/abs/1807.03748; between networks: Tian, Krishnan, Isola,
    "Contrastive Representation Distillation", ICLR 2020, https://arxiv.org/abs/1910.10699
    """

    def compare(self, student: list[Tensor], teacher: list[Tensor], target: Tensor) -> Tensor:
        own = embedded(self.embed_student, student)
        given = embedded(self.embed_teacher, teacher)
        pairs = zip(own, given, strict=True)
        return torch.stack([contrast(s, t, target, self.temperature) for s, t in pairs]).sum()
