"""On-policy distillation: the student is told what the teacher would say of its own texts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from condenser.capture import evaluating
from condenser.data.batches import Batch
from condenser.distill.base import LogitObjective
from condenser.distill.divergence import divergence_of
from condenser.errors import ConfigError, below_one, fraction, positive
from condenser.models.decoding import continuing, sample, translating
from condenser.models.translator import Translator
from condenser.tasks import BOS, EOS, NOTHING, PAD, Task


class GKD(LogitObjective):
    """L = α·CE(student, token) + (1-α)·T²·D(teacher, student), D at each token; in a share of the
    batches the tokens are those that the student itself says.

    Of a text that it says itself the student learns from the teacher alone, without the first term.
    It draws from its own softmax behind the begin of a block, or behind a source.

    Args:
        share: λ in [0, 1], of the batches with texts of the student.
        divergence: D, as in ``KD``.
        temperature: T > 0, of both in D.
        alpha: weight of the texts' own tokens, in [0, 1]; the paper has 0.
        prompt: share of a block that stays as it is, from 0 up to 1.

    Raises:
        ConfigError: a setting out of range, or data that are no tokens.

    Source: Agarwal et al., "On-Policy Distillation of Language Models: Learning from Self-Generated
    Mistakes", ICLR 2024, https://arxiv.org/abs/2306.13649
    """

    rewrites: ClassVar[bool] = True
    stochastic: ClassVar[bool] = True

    def __init__(
        self,
        share: float = 0.5,
        divergence: str | Mapping[str, Any] = "jensen_shannon",
        temperature: float = 1.0,
        alpha: float = 0.0,
        prompt: float = 0.5,
    ) -> None:
        super().__init__({"hard": fraction("distill.alpha", alpha), "soft": 1 - alpha})
        self.share = fraction("distill.share", share)
        self.prompt = below_one("distill.prompt", prompt)
        self.temperature = positive("distill.temperature", temperature)
        self.divergence = divergence_of(divergence)
        self.own = False  # whether this batch is the student's

    def setup(self, task: Task, targets: Tensor) -> None:
        super().setup(task, targets)
        if task.by_sample:
            raise ConfigError("distill", self.method, "data of tokens", "use distill=kd")

    def rewrite(self, student: nn.Module, teacher: nn.Module, batch: Batch) -> Batch:
        self.own = bool(torch.rand(()) < self.share)
        if not self.own:
            return batch
        with evaluating(student):
            if batch.image.ndim == 3:
                made = translated(student, batch.image)
            else:
                made = continued(student, batch.image, batch.target, self.prompt)
        return Batch(*made, batch.index)

    def match(self, student: Tensor, teacher: Tensor, target: Tensor) -> dict[str, Tensor]:
        soft = {"soft": self.divergence(student, teacher, self.temperature)}
        return soft | ({"hard": 0 * student.sum()} if self.own else {})


def continued(
    student: nn.Module, ids: Tensor, target: Tensor, prompt: float
) -> tuple[Tensor, Tensor]:
    """Blocks whose end the student says; it is asked for that alone."""
    begin = max(1, round(prompt * ids.shape[1]))
    said = sample(continuing(student), ids[:, :begin], ids.shape[1] + 1 - begin)
    asked = said[:, 1:].masked_fill(target == NOTHING, NOTHING)
    asked[:, : begin - 1] = NOTHING
    return said[:, :-1], asked


def translated(student: nn.Module, ids: Tensor) -> tuple[Tensor, Tensor]:
    """The student's translations in place of the right ones, up to EOS."""
    if not isinstance(student, Translator):
        allowed = "a student of condenser.models.Translator"
        raise ConfigError("distill", "gkd", allowed, f"this is a {type(student).__name__}")
    source, start = ids[:, 0], ids.new_full((len(ids), 1), BOS)
    said = sample(translating(student, source), start, ids.shape[2])
    asked, before = said[:, 1:].clone(), (said[:, :-1] == EOS).cumsum(1) > 0
    asked[before] = NOTHING
    return torch.stack([source, said[:, :-1].masked_fill(before, PAD)], 1), asked
