"""Correlation congruence, as the paper has it."""

from __future__ import annotations

from torch import Tensor

from condenser.capture import penultimate_pair
from condenser.distill.feature import FeatureObjective, Layers
from condenser.errors import count, positive
from condenser.functional.relation_losses import kernel_relation


class CC(FeatureObjective):
    """L = ‖K_s - K_t‖²_F / batch², with K_ij the Gaussian kernel exp(-γ‖x_i - x_j‖²).

    K is computed by its Taylor series up to ``order`` for unit vectors x. The tables' CC is another
    loss, ``AdjacentCC``.

    Args:
        gamma: γ > 0.
        order: highest power of x_i·x_j, at least 1.

    Raises:
        ConfigError: a setting out of range.

    Source: Peng, Jin, Liu, Zhou, Wu, Liu, Li, Zhang, "Correlation Congruence for Knowledge
    Distillation", ICCV 2019, https://arxiv.org/abs/1904.01802
    """

    pairs = penultimate_pair
    relational = True

    def __init__(
        self,
        gamma: float = 0.4,
        order: int = 2,
        student_layers: Layers = "auto",
        teacher_layers: Layers = "auto",
    ) -> None:
        super().__init__(student_layers, teacher_layers)
        self.gamma, self.order = positive("distill.gamma", gamma), count("distill.order", order)

    def distance(self, student: Tensor, teacher: Tensor) -> Tensor:
        k_s, k_t = (kernel_relation(f, self.gamma, self.order) for f in (student, teacher))
        return (k_s - k_t).square().mean()
