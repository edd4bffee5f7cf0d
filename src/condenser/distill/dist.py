"""DIST: distillation from a stronger teacher by matching relations."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from condenser.distill.base import LogitObjective, weights_of
from condenser.errors import positive
from condenser.functional.logit_losses import pearson


class DIST(LogitObjective):
    """L = w·CE(student, target) + T²·(β·(1 - mean_i ρ(s_i, t_i)) + γ·(1 - mean_c ρ(s_:c, t_:c))).

    s, t = softmax(student/T), softmax(teacher/T), and ρ is Pearson's correlation: of a sample's
    classes (``inter``), and of a class over the batch (``intra``). The student need not reach the
    teacher's confidence, only vary with it.

    Args:
        temperature: T > 0: 4 on CIFAR-100, 1 on ImageNet.
        inter_weight: β >= 0.
        intra_weight: γ >= 0; says nothing in a batch of one.
        hard_weight: w >= 0.
        standardize: compare z-scores of the logits.

    Raises:
        ConfigError: a setting out of range, or data of fewer than three classes: the
            correlation of two numbers is 1 or -1.

    T² is from the authors' code, where a student that is constant gets a gradient of 1e8, and here
    none.

    Source: Huang, You, Wang, Qian, Xu, "Knowledge Distillation from A Stronger Teacher", NeurIPS
    2022, https://arxiv.org/abs/2205.10536
    """

    least_classes: ClassVar[int] = 3
    relational = True

    def __init__(
        self,
        temperature: float = 4.0,
        inter_weight: float = 2.0,
        intra_weight: float = 2.0,
        hard_weight: float = 1.0,
        standardize: bool = False,
    ) -> None:
        super().__init__(
            weights_of(hard=hard_weight, inter=inter_weight, intra=intra_weight), standardize
        )
        self.temperature = positive("distill.temperature", temperature)

    def match(self, student: Tensor, teacher: Tensor, target: Tensor) -> dict[str, Tensor]:
        s, t = ((logits / self.temperature).softmax(dim=1) for logits in (student, teacher))
        square = self.temperature**2
        return {
            "inter": square * (1 - pearson(s, t).mean()),
            "intra": square * (1 - pearson(s.T, t.T).mean()),
        }
