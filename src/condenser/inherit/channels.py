"""A narrower student inherits a subset of its teacher's channels."""

from __future__ import annotations

import copy
from typing import ClassVar

import torch
from torch import Tensor, nn

from condenser.compress.channels.graph import channel_groups
from condenser.errors import ConfigError, UnknownError
from condenser.inherit.base import Inheritance, Inherited, fill
from condenser.inherit.criteria import CRITERIA
from condenser.inherit.cutting import cut, keep, keep_evenly, rescaled


class Channels(Inheritance):
    """Cut the teacher to the student's widths, then copy tensors by name.

    A channel is kept or cut in every layer that outputs, normalises, adds or reads it, so that a
    teacher whose other channels are dead gives a student with identical outputs. The student has
    the same architecture: layers of the same names, none wider than the teacher's.

    Args:
        criterion: ``l1`` or ``l2``: the channels whose parameters, in all coupled layers
            together, have the largest norm. ``even``: channels in equal steps; where they are
            coupled in a way that cannot be cut (normalisations across channels, grouped
            convolutions, parameters of no layer), each dimension on its own. There the norms
            leave the student's weights random.
        rescale: multiply weights by √(fan_in / fan_in left), which keeps the variance of what a
            layer gives (not in the papers). In our trials it always helped ``even``, and ``l2``
            as often as not; the law of the dead channels holds without it only.

    Raises:
        ConfigError: a setting that cannot be used; a teacher that does not run on the student's
            images, has other outputs than the student, or nothing that fits.

    Sources: coupled norms: Fang et al., DepGraph: Towards Any Structural Pruning, 2023,
    https://arxiv.org/abs/2301.12900; ``even``: Xu et al., Initializing Models with Larger Ones,
    2024, https://arxiv.org/abs/2311.18823
    """

    word: ClassVar[str] = "channels"

    def __init__(self, criterion: str = "l2", rescale: bool = False) -> None:
        if str(criterion) not in CRITERIA:
            raise UnknownError("distill.inherit.criterion", criterion, CRITERIA)
        if not isinstance(rescale, bool):
            raise ConfigError("distill.inherit.rescale", rescale, "true or false")
        self.criterion, self.rescale = criterion, rescale

    def __call__(self, student: nn.Module, teacher: nn.Module, image: Tensor) -> Inherited:
        model, image = copy.deepcopy(teacher).cpu().eval(), image[:1].cpu()
        ours, theirs = outputs(copy.deepcopy(student).cpu().eval(), image), outputs(model, image)
        if ours != theirs:
            raise ConfigError("inherit", self.word, f"a teacher with {ours} outputs, not {theirs}")
        shapes = {name: tensor.shape for name, tensor in student.state_dict().items()}
        groups, why_not = channel_groups(model, image)
        kept = keep(model, groups, shapes, CRITERIA[self.criterion])
        if self.criterion == "even":
            kept = keep_evenly(model, shapes) | kept
        narrow = cut(model.state_dict(), kept)
        offered = rescaled(model, narrow) if self.rescale else narrow
        return fill(student, offered, self.word, why_not)


def outputs(model: nn.Module, image: Tensor) -> int:
    """The length of the logits."""
    try:
        with torch.no_grad():
            return model(image).shape[-1]
    except RuntimeError as error:  # without some of its blocks, for instance
        allowed = f"for a {type(model).__name__} that takes the student's images"
        raise ConfigError("inherit", Channels.word, allowed, str(error)) from error
