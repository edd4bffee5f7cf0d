"""FitNets: hints from an intermediate layer."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from condenser.capture import middle_pair
from condenser.distill.feature import FeatureObjective, Layers
from condenser.functional.features import same_size


class FitNet(FeatureObjective):
    """L = Σ over hints of mean (r(F_s) - F_t)², r a learnt 1×1 convolution.

    With ``activation`` r ends in batch normalisation and ReLU, as in the tables' code: right for
    hints that come out of a ReLU. Hints that may be negative want it without. Usual weight 100, on
    the middle stage.

    The paper trains the layers below the hint by it beforehand; here, as in the tables, it is a
    term of the loss. Of maps of different sizes the larger is pooled; the authors choose a kernel
    that makes the sizes meet.

    Source: Romero, Ballas, Kahou, Chassang, Gatta, Bengio, "FitNets: Hints for Thin Deep Nets",
    ICLR 2015, https://arxiv.org/abs/1412.6550
    """

    pairs = middle_pair

    def __init__(
        self,
        activation: bool = True,
        student_layers: Layers = "auto",
        teacher_layers: Layers = "auto",
    ) -> None:
        super().__init__(student_layers, teacher_layers)
        self.activation = activation

    def build(self, student: list[Tensor], teacher: list[Tensor]) -> None:
        def regressor(before: int, after: int) -> nn.Module:
            conv = nn.Conv2d(before, after, 1)
            tail = [nn.BatchNorm2d(after), nn.ReLU()] if self.activation else []
            return nn.Sequential(conv, *tail)

        pairs = zip(student, teacher, strict=True)
        self.regressors = nn.ModuleList(regressor(s.shape[1], t.shape[1]) for s, t in pairs)

    def compare(self, student: list[Tensor], teacher: list[Tensor], target: Tensor) -> Tensor:
        hints = zip(self.regressors, student, teacher, strict=True)
        return torch.stack([self.gap(r, *same_size(s, t)) for r, s, t in hints]).sum()

    @staticmethod
    def gap(regressor: nn.Module, student: Tensor, teacher: Tensor) -> Tensor:
        return F.mse_loss(regressor(student), teacher)
