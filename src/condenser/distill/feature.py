"""The interface of objectives that compare features."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from condenser.capture import Pairs, stage_pairs
from condenser.distill.base import Objective, Outputs
from condenser.errors import ConfigError
from condenser.functional.features import tokens_as_map
from condenser.tasks import EVERY

Layers = str | Sequence[str]


class FeatureObjective(Objective):
    """L = ``compare`` of the features at pairs of layers. ``Sum`` combines it with other losses.

    Computed in float32 with autocast off and without gradients to the teacher. A batch of one has
    neither relations nor statistics: its loss is 0.

    Class attributes:
        pairs: (student, teacher, image) → the layers to compare if the config says ``auto``.
        maps: it compares spatial positions, so features must be maps larger than 1×1.

    Args:
        student_layers, teacher_layers: ``auto``, or layer names as in ``Capture``, in pairs.

    Raises:
        ConfigError: layers that do not pair up, or are no maps where these are needed.
    """

    pairs: ClassVar[Callable[[nn.Module, nn.Module, Tensor], Pairs]] = stage_pairs
    maps: ClassVar[bool] = False
    tasks: ClassVar[tuple[str, ...]] = EVERY

    def __init__(self, student_layers: Layers = "auto", teacher_layers: Layers = "auto") -> None:
        super().__init__()
        self.student_layers, self.teacher_layers = named(student_layers), named(teacher_layers)

    def select_layers(self, student: nn.Module, teacher: nn.Module, image: Tensor) -> None:
        if not (self.student_layers and self.teacher_layers):
            own, given = type(self).pairs(student, teacher, image)
            self.student_layers = self.student_layers or own
            self.teacher_layers = self.teacher_layers or given
        if len(self.student_layers) != len(self.teacher_layers):
            allowed = f"as many as teacher_layers={self.teacher_layers}"
            raise ConfigError("distill.student_layers", self.student_layers, allowed)

    def build_projectors(self, student: Outputs, teacher: Outputs) -> None:
        own, given = self.seen(student, teacher)
        for name, feature in zip(self.student_layers, own, strict=True):
            if self.maps and (feature.dim() != 4 or feature[0, 0].numel() < 2):
                allowed = f"a layer that gives maps; this gives {tuple(feature.shape)}"
                raise ConfigError("distill.student_layers", name, allowed)
        self.build(own, given)

    def build(self, student: list[Tensor], teacher: list[Tensor]) -> None:
        """Build the projectors for features of these shapes."""
        return

    def seen(self, student: Outputs, teacher: Outputs) -> tuple[list[Tensor], list[Tensor]]:
        """Student and teacher features per layer, in float32; tokens as maps."""
        own, given = student.features, teacher.features
        return (
            [plain("student_layers", name, own[name]) for name in self.student_layers],
            [plain("teacher_layers", name, given[name].detach()) for name in self.teacher_layers],
        )

    def forward(
        self, student: Outputs, teacher: Outputs | None, target: Tensor
    ) -> dict[str, Tensor]:
        assert teacher is not None
        own, given = self.seen(student, teacher)
        if any(p.dtype != torch.float32 for p in self.parameters()):
            self.float()  # a trainer in pure bfloat16 casts projectors too
        with torch.autocast(own[0].device.type, enabled=False):
            if len(own[0]) == 1:
                return {"loss": 0 * torch.stack([feature.sum() for feature in own]).sum()}
            return {"loss": self.compare(own, given, target)}

    def compare(self, student: list[Tensor], teacher: list[Tensor], target: Tensor) -> Tensor:
        """The loss over all pairs of layers: the sum of their distances."""
        pairs = zip(student, teacher, strict=True)
        return torch.stack([self.distance(s, t) for s, t in pairs]).sum()

    def distance(self, student: Tensor, teacher: Tensor) -> Tensor:
        """The loss of one pair."""
        raise NotImplementedError


def plain(key: str, name: str, feature: Tensor) -> Tensor:
    """A layer's feature in float32; tokens become a map."""
    if feature.dim() == 3:
        try:
            feature = tokens_as_map(feature)
        except ValueError as error:
            allowed = "a layer that gives vectors, maps, or the tokens of a square image"
            raise ConfigError(f"distill.{key}", name, allowed, str(error)) from error
    return feature.float()


def named(layers: Layers) -> list[str]:
    """The layers that a setting names; none for ``auto``."""
    if isinstance(layers, str):
        return [] if layers == "auto" else [layers]
    return list(layers)
