"""Relational knowledge distillation."""

from __future__ import annotations

from torch import Tensor

from condenser.capture import penultimate_pair
from condenser.distill.feature import FeatureObjective, Layers
from condenser.errors import nonnegative
from condenser.functional.relation_losses import angle_relation, distance_relation


class RKD(FeatureObjective):
    """L = d·huber(distances) + a·huber(angles), between student's and teacher's.

    Distances ‖x_i - x_j‖ of all pairs in a batch, over their mean; angles at x_i between x_j and
    x_k, as cosines, of all triplets. Memory grows with batch³ and batch²·features.

    As in the authors' code, the means are over batch² and batch³ entries, those of a sample with
    itself among them. Where two samples have the same feature, its gradient there is 0, not 1e12.

    Args:
        distance_weight: d >= 0.
        angle_weight: a >= 0.

    Raises:
        ConfigError: a negative weight.

    Source: Park, Kim, Lu, Cho, "Relational Knowledge Distillation", CVPR 2019,
    https://arxiv.org/abs/1904.05068; code: https://github.com/lenscloth/RKD
    """

    pairs = penultimate_pair
    relational = True

    def __init__(
        self,
        distance_weight: float = 25.0,
        angle_weight: float = 50.0,
        student_layers: Layers = "auto",
        teacher_layers: Layers = "auto",
    ) -> None:
        super().__init__(student_layers, teacher_layers)
        self.distance_weight = nonnegative("distill.distance_weight", distance_weight)
        self.angle_weight = nonnegative("distill.angle_weight", angle_weight)

    def distance(self, student: Tensor, teacher: Tensor) -> Tensor:
        distances, angles = distance_relation(student, teacher), angle_relation(student, teacher)
        return self.distance_weight * distances + self.angle_weight * angles
