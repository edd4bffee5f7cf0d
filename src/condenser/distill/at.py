"""Attention transfer."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from condenser.distill.feature import FeatureObjective, Layers
from condenser.errors import UnknownError
from condenser.functional.features import same_size
from condenser.functional.map_losses import attention_mean, attention_paper

FORMS = {"paper": attention_paper, "mean": attention_mean}


class AT(FeatureObjective):
    """L = Σ over stages of the distance between attention maps Q/‖Q‖, Q = Σ_c F_c² at each place.

    Two distances go by this name. ``paper`` is equation 2, ½·‖Q_s/‖Q_s‖ - Q_t/‖Q_t‖‖₂, mean over
    the batch. ``mean`` is the authors' code, which the tables use: the mean of the squared
    differences over batch and places, hence far smaller; its usual weight is 1000.

    Raises:
        ConfigError: an unknown form.

    Source: Zagoruyko, Komodakis, "Paying More Attention to Attention", ICLR 2017,
    https://arxiv.org/abs/1612.03928; code: https://github.com/szagoruyko/attention-transfer
    """

    maps: ClassVar[bool] = True

    def __init__(
        self, form: str = "mean", student_layers: Layers = "auto", teacher_layers: Layers = "auto"
    ) -> None:
        super().__init__(student_layers, teacher_layers)
        if form not in FORMS:
            raise UnknownError("distill.form", form, FORMS)
        self.form = FORMS[form]

    def distance(self, student: Tensor, teacher: Tensor) -> Tensor:
        return self.form(*same_size(student, teacher))
