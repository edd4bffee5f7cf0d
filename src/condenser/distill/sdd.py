"""Scale decoupled distillation: a logit loss of every region of the image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from condenser.capture import Frozen, pooled_classifier_of
from condenser.distill.base import LogitObjective, Objective, Outputs
from condenser.errors import ConfigError, count, nonnegative
from condenser.functional.features import pooled
from condenser.tasks import Task


class SDD(Objective):
    """L = w·CE + mean over samples and regions of g·L_soft(student's region, teacher's region).

    A region's logits are W·f + b, f the mean of the last map over the region and W, b the network's
    own classifier; regions are the cells of an s×s grid for every s of ``scales``, of which 1×1
    gives the logits themselves. g is 1 where the teacher is as right or wrong in the region as of
    the whole image, else ``complementary_weight``. L_soft and w are those of ``base``.

    Args:
        base: kd, dkd, nkd or another on logits that takes samples one by one.
        scales: sides of the grids, with 1 the first.
        complementary_weight: g >= 0 of regions in which the teacher decides otherwise.

    Raises:
        ConfigError: a setting out of range, or an objective that compares samples.
        CondenserError: a network that does not end in a map, its mean, and a linear layer.

    Source: Wei, Luo, Luo, "Scale Decoupled Distillation", CVPR 2024,
    https://arxiv.org/abs/2403.13512; code: https://github.com/shicaiwei123/SDD-CVPR2024
    """

    def __init__(
        self,
        base: LogitObjective,
        scales: Sequence[int] = (1, 2, 4),
        complementary_weight: float = 2.0,
    ) -> None:
        super().__init__()
        if not isinstance(base, LogitObjective) or base.relational:
            allowed = "an objective on the logits of single samples, such as condenser.distill.KD"
            raise ConfigError("distill.base", type(base).__name__, allowed)
        if list(scales)[:1] != [1]:
            raise ConfigError("distill.scales", list(scales), "a list that begins with 1")
        self.base, self.scales = base, [count("distill.scales", s) for s in scales]
        self.complementary_weight = nonnegative(
            "distill.complementary_weight", complementary_weight
        )

    def setup(self, task: Task, targets: Tensor) -> None:
        super().setup(task, targets)
        self.base.setup(task, targets)

    def select_layers(self, student: nn.Module, teacher: nn.Module, image: Tensor) -> None:
        own, given = pooled_classifier_of(student, image), pooled_classifier_of(teacher, image)
        self.student_layers, self.teacher_layers = [own.layer], [given.layer]
        self.classifier = (own.linear,)  # in a tuple: the student's, not trained twice
        self.teachers = Frozen(given.linear)

    def build_projectors(self, student: Outputs, teacher: Outputs) -> None:
        self.base.build_projectors(student, teacher)

    def term_weights(self) -> Mapping[str, float]:
        return self.base.term_weights()

    def progress(self, done: float) -> None:
        self.base.progress(done)

    def forward(
        self, student: Outputs, teacher: Outputs | None, target: Tensor
    ) -> dict[str, Tensor]:
        assert teacher is not None
        own = student.features[self.student_layers[0]].float()
        given = teacher.features[self.teacher_layers[0]].detach().float()
        with torch.autocast(target.device.type, enabled=False):
            s, t = self.classify(self.regions(own)), self.teachers(self.regions(given))
            terms = self.match(s.flatten(0, 1), t.flatten(0, 1), target)
            hard = self.task.hard_loss(student.logits.float(), target)
        weights = self.term_weights()
        terms = {"hard": hard, **terms}
        loss = torch.stack([weights[name] * value for name, value in terms.items()]).sum()
        return {"loss": loss, **terms}

    def classify(self, features: Tensor) -> Tensor:
        """The student's logits, with gradients to its classifier."""
        weight, bias = self.classifier[0].weight, self.classifier[0].bias
        return F.linear(features, weight.float(), None if bias is None else bias.float())

    def regions(self, feature: Tensor) -> Tensor:
        """Means (regions, batch, channels) of a map (batch, channels, height, width)."""
        cells = [pooled(feature, (s, s)).flatten(2) for s in self.scales]
        return torch.cat(cells, dim=2).permute(2, 0, 1)

    def match(self, student: Tensor, teacher: Tensor, target: Tensor) -> dict[str, Tensor]:
        """The objective's soft terms, of (regions·batch, classes), the whole images first."""
        labels = target.repeat(len(teacher) // len(target))
        right = (teacher.argmax(dim=1) == labels).view(-1, len(target))
        alike = (right == right[0]).flatten()
        terms: dict[str, Tensor] = {}
        for chosen, factor in ((alike, 1.0), (~alike, self.complementary_weight)):
            if chosen.any():
                part = self.base.soft_terms(student[chosen], teacher[chosen], labels[chosen])
                share = factor * chosen.sum() / len(labels)
                terms |= {name: terms.get(name, 0.0) + share * x for name, x in part.items()}
        return terms
