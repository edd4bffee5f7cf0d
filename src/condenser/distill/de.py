"""Distillation experts: the teacher's vectors of users from the student's."""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from condenser.capture import penultimate_pair
from condenser.distill.feature import FeatureObjective, Layers
from condenser.errors import count, positive


class DE(FeatureObjective):
    """L = ‖h_t - Σ_m σ_m E_m(h_s)‖², mean over the batch, summed over the vector.

    Of M experts E_m (a hidden layer, half of both widths) one is chosen by the teacher's vector:
    σ = softmax((v(h_t) + Gumbel) / τ), v a linear layer and a softmax, τ falling exponentially from
    ``temperature`` to ``last`` during training. Of users' vectors only: items are no outputs of a
    layer here, where the authors have experts for them too.

    Args:
        experts: M.
        student_layers, teacher_layers: layers whose output is a user's vector; auto: what the last
            layer reads.

    Source: Kang, Hwang, Kweon, Yu, DE-RRD (2020), section 4.1, https://arxiv.org/abs/2012.04357,
    https://github.com/SeongKu-Kang/DE-RRD
    """

    pairs = penultimate_pair
    stochastic: ClassVar[bool] = True

    def __init__(
        self,
        experts: int = 5,
        temperature: float = 1.0,
        last: float = 1e-4,
        student_layers: Layers = "auto",
        teacher_layers: Layers = "auto",
    ) -> None:
        super().__init__(student_layers, teacher_layers)
        self.count = count("distill.experts", experts)
        self.first = positive("distill.temperature", temperature)
        self.last = positive("distill.last", last)
        self.temperature = self.first

    def build(self, student: list[Tensor], teacher: list[Tensor]) -> None:
        (own,), (given,) = student, teacher
        width, asked = own[0].numel(), given[0].numel()
        inner = (width + asked) // 2
        self.experts = nn.ModuleList(
            nn.Sequential(nn.Linear(width, inner), nn.ReLU(), nn.Linear(inner, asked))
            for _ in range(self.count)
        )
        self.gate = nn.Sequential(nn.Linear(asked, self.count), nn.Softmax(dim=1))

    def progress(self, done: float) -> None:
        self.temperature = self.first * (self.last / self.first) ** done

    def distance(self, student: Tensor, teacher: Tensor) -> Tensor:
        student, teacher = student.flatten(1), teacher.flatten(1)
        shares = F.gumbel_softmax(self.gate(teacher), self.temperature)
        made = torch.stack([expert(student) for expert in self.experts], dim=1)
        return (teacher - (shares.unsqueeze(2) * made).sum(1)).square().sum(1).mean()
