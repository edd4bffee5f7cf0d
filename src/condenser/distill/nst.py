"""Neuron selectivity transfer."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from condenser.distill.feature import FeatureObjective
from condenser.functional.features import same_size
from condenser.functional.map_losses import selectivity


class NST(FeatureObjective):
    """L = Σ over stages of the MMD² between the channels' patterns, kernel k(x, y) = (x·y)².

    A channel's pattern is its map as a vector of length 1; the student's channels have to be
    distributed like the teacher's, however many they are. Usual weight 50.

    Source: Huang, Wang, "Like What You Like: Knowledge Distill via Neuron Selectivity Transfer",
    2017, https://arxiv.org/abs/1707.01219
    """

    maps: ClassVar[bool] = True

    def distance(self, student: Tensor, teacher: Tensor) -> Tensor:
        return selectivity(*same_size(student, teacher))
