"""Token prediction: language models and translation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from condenser.tasks.base import NOTHING
from condenser.tasks.classes import Multiclass


@dataclass(frozen=True)
class TokenPrediction(Multiclass):
    """One of the tokens at every position. Logits (batch, length, tokens); target int64
    (batch, length), -100 where nothing is asked for.

    Its decisions are the positions that ask: losses and metrics are means over them.
    """

    word: ClassVar[str] = "tokens"
    target: ClassVar[str] = "torch.int64 (samples, length), -100 or below the number of tokens,"
    chosen: ClassVar[str] = "nll"
    sign: ClassVar[int] = -1
    named: ClassVar[bool] = False
    by_sample: ClassVar[bool] = False

    def decisions(self, logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        asked = target != NOTHING
        return logits[asked], target[asked]

    def credit(self, logits: Tensor, target: Tensor) -> Tensor:
        return F.cross_entropy(logits.float(), target, reduction="none")

    def fits(self, targets: Tensor) -> bool:
        known = ((targets >= 0) & (targets < self.outputs)) | (targets == NOTHING)
        return targets.dtype == torch.int64 and targets.ndim == 2 and bool(known.all())


@dataclass(frozen=True)
class Translation(TokenPrediction):
    """Token prediction of a text behind a source, ids (2, length) of both: see
    ``condenser.models.Translator``. Losses are of the tokens that stand there (teacher forcing);
    a translation is made token by token, and measured as a text.
    """

    word: ClassVar[str] = "translation"
    generates: ClassVar[bool] = True
