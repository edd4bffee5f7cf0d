"""One-for-all: distillation between heterogeneous architectures, in logit space."""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from condenser.capture import penultimate_of, stages_of
from condenser.distill.base import Objective, Outputs
from condenser.distill.exit_heads import exit_of
from condenser.distill.feature import Layers, named
from condenser.errors import CondenserError, ConfigError, positive


class OFA(Objective):
    """L = Σ over exit heads and the logits of -Σ_c w_c·log softmax(z/T)_c, w = (p_t + y)^ε - y.

    z are the student's logits and those of a small exit head at each of its stages, trained with
    it and discarded, which ends in as many features as the wider of the two networks' classifiers
    sees; p_t = softmax(teacher/T); y one-hot. ε > 1 gives the label more and other
    classes less the more confident the teacher is; ε = 1 is the cross-entropy with p_t. Features
    are not compared, so student and teacher may have any architectures. No T². Weight 1 in the
    paper.

    Logs ``final``, of the logits, and ``exit_heads``, the sum of the rest, which is 0 for a
    batch of one.

    Args:
        epsilon: ε > 0; by pair, 1 to 1.5.
        temperature: T > 0.
        student_layers: ``auto``, all stages, or names as ``Capture`` has them.

    Raises:
        ConfigError: a setting out of range, data that are not classes, a teacher of others, or
            layers without features to classify.

    Source: Hao, Guo, Han, Tang, Hu, Wang, Xu, "One-for-All: Bridge the Gap Between Heterogeneous
    Architectures in Knowledge Distillation", NeurIPS 2023, https://arxiv.org/abs/2310.19444; code:
    https://github.com/Hao840/OFAKD
    """

    takes_shares: ClassVar[bool] = False

    def __init__(
        self, epsilon: float = 1.0, temperature: float = 1.0, student_layers: Layers = "auto"
    ) -> None:
        super().__init__()
        self.epsilon = positive("distill.epsilon", epsilon)
        self.temperature = positive("distill.temperature", temperature)
        self.student_layers, self.width = named(student_layers), 0

    def select_layers(self, student: nn.Module, teacher: nn.Module, image: Tensor) -> None:
        self.width = max(width_of(student, image), width_of(teacher, image))
        self.student_layers = self.student_layers or stages_of(student, image)

    def build_projectors(self, student: Outputs, teacher: Outputs) -> None:
        classes, theirs = student.logits.shape[1], teacher.logits.shape[1]
        if classes != theirs:
            allowed = f"a teacher with the student's {classes} outputs, this has {theirs} outputs"
            raise ConfigError("distill", self.method, allowed, "features cross tasks: distill=at")
        features = [student.features[name] for name in self.student_layers]
        for name, feature in zip(self.student_layers, features, strict=True):
            if feature.dim() not in (2, 3, 4):
                allowed = f"vectors, tokens or maps; this gives {tuple(feature.shape)}"
                raise ConfigError("distill.student_layers", name, allowed)
        left, last = reversed(range(len(features))), self.width or features[-1].shape[1]
        sides = zip(features, left, strict=True)
        self.exit_heads = nn.ModuleList(exit_of(f, n, last, classes) for f, n in sides)

    def term_weights(self) -> dict[str, float]:
        return {"final": 1.0, "exit_heads": 1.0}

    def forward(
        self, student: Outputs, teacher: Outputs | None, target: Tensor
    ) -> dict[str, Tensor]:
        assert teacher is not None
        if any(p.dtype != torch.float32 for p in self.parameters()):
            self.float()  # a trainer in pure bfloat16 casts exit heads too
        with torch.autocast(target.device.type, enabled=False):
            wanted = self.wanted(teacher.logits.detach().float(), target)
            logits = [student.logits, *self.half_way(student)]
            final, *heads = (self.gap(z.float(), wanted) for z in logits)
            left = torch.stack([0 * final, *heads]).sum()
        return {"loss": final + left, "final": final, "exit_heads": left}

    def wanted(self, teacher: Tensor, target: Tensor) -> Tensor:
        """w = (p_t + y)^ε - y, (batch, classes)."""
        own = F.one_hot(target, teacher.shape[1])
        return ((teacher / self.temperature).softmax(dim=1) + own) ** self.epsilon - own

    def half_way(self, student: Outputs) -> list[Tensor]:
        """The exit heads' logits; none for a batch of one, which has no batch statistics."""
        if len(student.logits) == 1:
            return []
        sides = zip(self.exit_heads, self.student_layers, strict=True)
        return [leave(student.features[name].float()) for leave, name in sides]

    def gap(self, logits: Tensor, wanted: Tensor) -> Tensor:
        """-Σ_c w_c·log softmax(z/T)_c, mean over the batch."""
        said = F.log_softmax(logits / self.temperature, dim=1)
        return -(wanted * said).sum(dim=1).mean()


def width_of(model: nn.Module, image: Tensor) -> int:
    """How many features a network's classifier sees; 0 where there is none."""
    try:
        layer = model.get_submodule(penultimate_of(model, image).removesuffix(":input"))
    except CondenserError:
        return 0
    assert isinstance(layer, nn.Linear)
    return layer.in_features
