"""Contrastive representation distillation, against a memory of the whole training set."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from condenser.distill.base import Outputs
from condenser.distill.contrastive import Contrastive, embedded
from condenser.distill.feature import Layers
from condenser.distill.memory import Memory
from condenser.errors import ConfigError, count, fraction
from condenser.functional.relation_losses import noise_contrast
from condenser.tasks import Task


class CRD(Contrastive):
    """L = NCE(s → t) + NCE(t → s) between learned embeddings, negatives from a memory bank.

    NCE: log(1 + e^-x_ii) + K·mean_j log(1 + e^x_ij), x_ij = log(p_ij·n/K), p_ij = e^(s_i·m_j/τ)/Z:
    sample i's own m_i, the memory of the teacher's embedding, is to be told from K draws j, among n
    samples, of other classes; then the same with s and t exchanged. Z = n·mean e^(s_i·m_j/τ) of the
    first batch. After each batch m_i ← unit(μ·m_i + (1 - μ)·t_i).

    K samples are drawn for a batch, and each mean is over those of another class than i; the
    authors draw K of these for every i, which has the same expectation and reads batch times as
    much. They add 1e-7 under the logarithms. Memories are part of the training checkpoint, not of
    the student. Usual weight 0.8.

    Args:
        memory: K, at least 1.
        momentum: μ from 0 to 1.
        temperature: τ > 0.
        dimensions: of the embeddings, at least 1.

    Raises:
        ConfigError: a setting out of range, or training data of one class.

    Source: Tian, Krishnan, Isola, "Contrastive Representation Distillation", ICLR 2020,
    https://arxiv.org/abs/1910.10699; code: https://github.com/HobbitLong/RepDistiller
    """

    stochastic: ClassVar[bool] = True
    kind: Tensor  # of each sample of the training set, its class

    def __init__(
        self,
        memory: int = 16384,
        momentum: float = 0.5,
        temperature: float = 0.07,
        dimensions: int = 128,
        student_layers: Layers = "auto",
        teacher_layers: Layers = "auto",
    ) -> None:
        super().__init__(temperature, dimensions, student_layers, teacher_layers)
        self.memory, self.momentum = (
            count("distill.memory", memory),
            fraction("distill.momentum", momentum),
        )

    def setup(self, task: Task, targets: Tensor) -> None:
        super().setup(task, targets)
        classes, kind = torch.unique(targets, dim=0, return_inverse=True)
        if len(classes) < 2:
            allowed = "training data of 2 classes or more"
            raise ConfigError("distill", self.method, allowed, "use distill=kd")
        self.register_buffer("kind", kind, persistent=False)

    def build(self, student: list[Tensor], teacher: list[Tensor]) -> None:
        super().build(student, teacher)
        size = len(self.kind), self.dimensions, self.memory
        self.memories = [(Memory(*size), Memory(*size)) for _ in student]
        self.kept = nn.ModuleList(one for pair in self.memories for one in pair)

    def forward(
        self, student: Outputs, teacher: Outputs | None, target: Tensor
    ) -> dict[str, Tensor]:
        assert student.index is not None
        self.index = student.index
        return super().forward(student, teacher, target)

    def compare(self, student: list[Tensor], teacher: list[Tensor], target: Tensor) -> Tensor:
        own = embedded(self.embed_student, student)
        given = embedded(self.embed_teacher, teacher)
        drawn, losses = self.draw(), []
        strangers = self.kind[self.index][:, None] != self.kind[drawn]
        weights = strangers * (self.memory / strangers.sum(dim=1, keepdim=True).clamp(min=1))

        def tell(anchor: Tensor, memory: Memory) -> Tensor:
            odds = memory.log_odds(anchor / self.temperature, self.index, drawn, weights)
            return noise_contrast(*odds, weights)

        for s, t, (m_s, m_t) in zip(own, given, self.memories, strict=True):
            losses += [tell(s, m_t), tell(t, m_s)]
            m_s.keep(self.index, s, self.momentum)
            m_t.keep(self.index, t, self.momentum)
        return torch.stack(losses).sum()

    def draw(self) -> Tensor:
        """K random samples, or all if there are fewer."""
        return torch.randperm(len(self.kind), device=self.kind.device)[: self.memory]
