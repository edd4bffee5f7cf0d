"""What contrastive objectives have in common: learnt embeddings of both networks' features."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn

from condenser.capture import penultimate_pair
from condenser.distill.feature import FeatureObjective, Layers
from condenser.errors import count, positive
from condenser.functional.features import unit


class Contrastive(FeatureObjective):
    """Compares embeddings s = W_s·x/‖W_s·x‖ and t of the two networks, which are learnt.

    Args:
        temperature: τ > 0.
        dimensions: of the embeddings, at least 1.

    Raises:
        ConfigError: a setting out of range.
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
        self.temperature = positive("distill.temperature", temperature)
        self.dimensions = count("distill.dimensions", dimensions)

    def build(self, student: list[Tensor], teacher: list[Tensor]) -> None:
        def embedding(feature: Tensor) -> nn.Module:
            return nn.Linear(feature[0].numel(), self.dimensions)

        self.embed_student = nn.ModuleList(embedding(feature) for feature in student)
        self.embed_teacher = nn.ModuleList(embedding(feature) for feature in teacher)


def embedded(embeddings: nn.ModuleList, features: list[Tensor]) -> list[Tensor]:
    """Each feature's embedding, of length 1."""
    return [unit(e(f.flatten(1)), dim=1) for e, f in zip(embeddings, features, strict=True)]
