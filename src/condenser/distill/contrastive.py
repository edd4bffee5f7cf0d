"""Learnt embeddings of both networks' features, and what contrastive objectives do with them."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn

from condenser.capture import penultimate_pair
from condenser.distill.feature import FeatureObjective, Layers
from condenser.errors import count, positive
from condenser.functional.features import unit


class EmbeddingObjective(FeatureObjective):
    """Compares the samples of a batch by embeddings W_s·x and W_t·x of the two networks' features,
    which are learnt.

    Args:
        dimensions: of the embeddings, at least 1.

    Raises:
        ConfigError: no dimensions.
    """

    pairs = penultimate_pair
    relational = True

    def __init__(
        self,
        dimensions: int = 128,
        student_layers: Layers = "auto",
        teacher_layers: Layers = "auto",
    ) -> None:
        super().__init__(student_layers, teacher_layers)
        self.dimensions = count("distill.dimensions", dimensions)

    def build(self, student: list[Tensor], teacher: list[Tensor]) -> None:
        def embedding(feature: Tensor) -> nn.Module:
            return nn.Linear(feature[0].numel(), self.dimensions)

        self.embed_student = nn.ModuleList(embedding(feature) for feature in student)
        self.embed_teacher = nn.ModuleList(embedding(feature) for feature in teacher)


class Contrastive(EmbeddingObjective):
    """Compares embeddings s = W_s·x/‖W_s·x‖ and t.

    Args:
        temperature: τ > 0.
        dimensions: of the embeddings, at least 1.

    Raises:
        ConfigError: a setting out of range.
    """

    takes_shares: ClassVar[bool] = False

    def __init__(
        self,
        temperature: float = 0.07,
        dimensions: int = 128,
        student_layers: Layers = "auto",
        teacher_layers: Layers = "auto",
    ) -> None:
        super().__init__(dimensions, student_layers, teacher_layers)
        self.temperature = positive("distill.temperature", temperature)


def embedded(embeddings: nn.ModuleList, features: list[Tensor]) -> list[Tensor]:
    """Each feature's embedding, of length 1."""
    return [unit(e(f.flatten(1)), dim=1) for e, f in zip(embeddings, features, strict=True)]
