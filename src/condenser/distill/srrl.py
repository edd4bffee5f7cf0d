"""SRRL: the student's features, as the teacher's classifier sees them."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from condenser.capture import Classifier, Frozen, classifier_of, pooled_classifier_of
from condenser.distill.feature import FeatureObjective
from condenser.errors import CondenserError, nonnegative
from condenser.functional.features import as_map


class SRRL(FeatureObjective):
    """L = mean (f_s - f_t)² + γ·mean (W_t·f_s + b_t - z_t)², f_s = mean of ReLU(BN(C·F_s)).

    F_s is the student's last map and C a learnt 1×1 convolution to the teacher's channels; f_t is
    what the teacher's classifier W_t, b_t, which stays as it is, makes its logits z_t of. Where no
    map is averaged before the student's classifier, F_s is the vector that goes into it. Usual
    weight 1.

    Args:
        logit_weight: γ >= 0.

    Raises:
        ConfigError: γ below 0.
        CondenserError: a network that does not end in a linear layer.

    Source: Yang, Martinez, Bulat, Tzimiropoulos, "Knowledge distillation via softmax regression
    representation learning", ICLR 2021, https://openreview.net/forum?id=ZzwDy_wiWv; code:
    https://github.com/jingyang2017/KD_SRRL
    """

    def __init__(self, logit_weight: float = 1.0) -> None:
        super().__init__()
        self.logit_weight = nonnegative("distill.logit_weight", logit_weight)

    def select_layers(self, student: nn.Module, teacher: nn.Module, image: Tensor) -> None:
        own, given = end_of(student, image), classifier_of(teacher, image)
        self.student_layers, self.teacher_layers = [own.layer], [given.layer]
        self.classify = Frozen(given.linear)

    def build(self, student: list[Tensor], teacher: list[Tensor]) -> None:
        before, after = student[0].shape[1], teacher[0].shape[1]
        conv = nn.Conv2d(before, after, 1, bias=False)
        nn.init.kaiming_normal_(conv.weight, mode="fan_out")
        self.connector = nn.Sequential(conv, nn.BatchNorm2d(after), nn.ReLU())

    def distance(self, student: Tensor, teacher: Tensor) -> Tensor:
        own = self.connector(as_map(student)).mean(dim=(2, 3))
        given = teacher.flatten(1)
        logits = F.mse_loss(self.classify(own), self.classify(given))
        return F.mse_loss(own, given) + self.logit_weight * logits


def end_of(model: nn.Module, image: Tensor) -> Classifier:
    """The classifier and the map that is averaged for it, else the vector that goes into it."""
    try:
        return pooled_classifier_of(model, image)
    except CondenserError:
        return classifier_of(model, image)
