"""Class attention transfer."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from condenser.capture import Frozen, pooled_classifier_of
from condenser.distill.feature import FeatureObjective
from condenser.errors import ConfigError, count
from condenser.functional.features import unit


class CATKD(FeatureObjective):
    """L = mean (A_s - A_t)² over batch, classes and places, of class activation maps.

    A = W·F at every place, F the last map and W, without its bias, the network's own classifier:
    which places speak for which class. Both are pooled to ``side``×``side`` first. The mean of A
    over all places is the logits but for the bias. By pair, weights from 0.7 to 600.

    Args:
        side: of the maps compared; 2, and 4 for shufflenets, in the authors' settings.
        normalize: divide each A of a class by its norm over the places, as the transfer of
            attention alone does (the paper's CAT).

    Raises:
        ConfigError: a setting out of range, or classes that differ.
        CondenserError: a network that does not end in a map, its mean, and a linear layer.

    The authors rebuild networks so that a 1×1 convolution without bias is the classifier, before
    the mean; here the linear layer is applied to places, which is the same but for the bias.

    Source: Guo, Yan, Li, Lin, "Class Attention Transfer Based Knowledge Distillation", CVPR 2023,
    https://arxiv.org/abs/2304.12777; code: https://github.com/GzyAftermath/CAT-KD
    """

    maps = True

    def __init__(self, side: int = 2, normalize: bool = False) -> None:
        super().__init__()
        self.side, self.normalize = count("distill.side", side), normalize

    def select_layers(self, student: nn.Module, teacher: nn.Module, image: Tensor) -> None:
        own, given = pooled_classifier_of(student, image), pooled_classifier_of(teacher, image)
        ours, theirs = own.linear.out_features, given.linear.out_features
        if ours != theirs:
            allowed = f"a teacher with the student's {ours} outputs, this has {theirs} outputs"
            raise ConfigError("distill", self.method, allowed, "features cross tasks: distill=at")
        self.student_layers, self.teacher_layers = [own.layer], [given.layer]
        self.classifier = (own.linear,)  # in a tuple: the student's, not trained twice
        self.teachers = Frozen(given.linear)

    def distance(self, student: Tensor, teacher: Tensor) -> Tensor:
        own = self.attention(student, self.classifier[0].weight)
        return F.mse_loss(own, self.attention(teacher, self.teachers.weight))

    def attention(self, feature: Tensor, weight: Tensor) -> Tensor:
        """A, (batch, classes, side²)."""
        cells = F.adaptive_avg_pool2d(feature, self.side)
        maps = torch.einsum("kc,bchw->bkhw", weight.float(), cells)
        return unit(maps.flatten(2), dim=2) if self.normalize else maps.flatten(2)
