"""Sequence-level distillation of translation: the teacher's translations as targets."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from condenser.capture import evaluating
from condenser.data.batches import Batch
from condenser.distill.base import LogitObjective
from condenser.errors import ConfigError, count, fraction, nonnegative, positive
from condenser.models.decoding import translate
from condenser.tasks import BOS, EOS, NOTHING, PAD, Task


class SequenceKD(LogitObjective):
    """L = α·CE(student, ŷ) + (1-α)·T²·KL(teacher ‖ student) at the tokens of ŷ, what beam search
    finds the teacher to say of a source.

    α = 1 is the paper's sequence-level, below it word-level on the same texts too. A sentence is
    translated when training first comes to it, and remembered until training ends.

    Args:
        beams: of the search; 1: greedy.
        length_penalty: the greater, the longer translations.
        longest: tokens of a translation at most.
        temperature: T > 0, of the KL.
        alpha: weight of ŷ, in [0, 1].

    Raises:
        ConfigError: a setting out of range, or data that are no translations.

    Source: Kim, Rush, "Sequence-Level Knowledge Distillation", EMNLP 2016,
    https://arxiv.org/abs/1606.07947
    """

    rewrites: ClassVar[bool] = True

    def __init__(
        self,
        beams: int = 4,
        length_penalty: float = 0.6,
        longest: int = 64,
        temperature: float = 1.0,
        alpha: float = 1.0,
    ) -> None:
        super().__init__({"hard": fraction("distill.alpha", alpha), "soft": 1 - alpha})
        self.beams = count("distill.beams", beams)
        self.longest = count("distill.longest", longest)
        self.length_penalty = nonnegative("distill.length_penalty", length_penalty)
        self.temperature = positive("distill.temperature", temperature)
        self.known: dict[int, Tensor] = {}  # index → the teacher's tokens

    def setup(self, task: Task, targets: Tensor) -> None:
        super().setup(task, targets)
        if not task.generates:
            raise ConfigError("distill", self.method, "data of translation", "use distill=kd")

    def rewrite(self, student: nn.Module, teacher: nn.Module, batch: Batch) -> Batch:
        index = batch.index.tolist()
        if min(index) < 0:  # of somebody's own loader: nothing says which sample it is
            self.known, index = {}, list(range(len(index)))
        missing = [row for row, one in enumerate(index) if one not in self.known]
        if missing:
            with evaluating(teacher):
                found = translate(
                    teacher,
                    batch.image[missing, 0],
                    self.beams,
                    self.length_penalty,
                    self.longest,
                )
            for row, text in zip(missing, found, strict=True):
                self.known[index[row]] = text[text != PAD]
        texts = [self.known[one].to(batch.image.device) for one in index]
        return batch._replace(**as_targets(batch.image[:, 0], texts))

    def match(self, student: Tensor, teacher: Tensor, target: Tensor) -> dict[str, Tensor]:
        return {"soft": self.task.soft_loss(student, teacher, self.temperature)}


def as_targets(source: Tensor, texts: list[Tensor]) -> dict[str, Tensor]:
    """Sources with these translations, as image (n, 2, L) and target (n, L)."""
    ends = [source.new_tensor([token]) for token in (BOS, EOS)]
    said = pad_sequence([torch.cat([ends[0], text]) for text in texts], True, PAD)
    asked = pad_sequence([torch.cat([text, ends[1]]) for text in texts], True, NOTHING)
    length = max(source.shape[1], said.shape[1])
    rows = [nn.functional.pad(row, (0, length - row.shape[1]), value=PAD) for row in (source, said)]
    asked = nn.functional.pad(asked, (0, length - asked.shape[1]), value=NOTHING)
    return {"image": torch.stack(rows, 1), "target": asked}
