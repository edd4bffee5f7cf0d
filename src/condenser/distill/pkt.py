"""Probabilistic knowledge transfer."""

from __future__ import annotations

from torch import Tensor

from condenser.capture import penultimate_pair
from condenser.distill.feature import FeatureObjective
from condenser.functional.relation_losses import neighbourhood


class PKT(FeatureObjective):
    """L = mean over pairs of p_t·log(p_t/p_s), p_ij = c_ij/Σ_j c_ij, c_ij = (cos(x_i, x_j) + 1)/2.

    The probability of a batch's samples as neighbours of each other. The mean is over batch², so
    that the usual weight is 30000. 1e-7 is added in the logarithm, as in the authors' code.

    Source: Passalis, Tefas, "Learning Deep Representations with Probabilistic Knowledge Transfer",
    ECCV 2018, https://arxiv.org/abs/1803.10837; code: https://github.com/passalis/probabilistic_kt
    """

    pairs = penultimate_pair
    relational = True

    def distance(self, student: Tensor, teacher: Tensor) -> Tensor:
        return neighbourhood(student, teacher)
