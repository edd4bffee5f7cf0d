"""A network that learns from a teacher."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from condenser.data import Batch
from condenser.distill import Outputs
from condenser.modules.student import Student


class Distillation(Student):
    """A student whose objective also sees what a frozen teacher says of the same images.

    The teacher is no part of the module's state: it is never trained, saved, averaged or wrapped,
    always in eval mode and without gradients. Where every epoch shows the same images
    (``data.fixed``) its logits are computed once, before the first step.
    """

    def __init__(self, *args: Any, teacher: nn.Module, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        frozen = teacher.eval().requires_grad_(False)
        self._frozen = (frozen,)  # in a tuple, so that nn.Module does not adopt it
        self.taught: Tensor | None = None

    @property
    def teacher(self) -> nn.Module:
        return self._frozen[0]

    def on_train_start(self) -> None:
        super().on_train_start()
        self.teacher.to(self.device)
        if self.data.fixed:
            self.taught = self.teach()

    @torch.no_grad()
    def teach(self) -> Tensor:
        """The teacher's logits for the whole training set, by sample index."""
        device = self.device
        batches = (self.transfer_batch_to_device(b, device, 0) for b in self.data.whole_train())
        parts = [(batch.index, self.teacher(batch.image)) for batch in batches]
        index, logits = (torch.cat(side) for side in zip(*parts, strict=True))
        return torch.empty_like(logits).index_copy_(0, index, logits)

    def terms(self, batch: Batch) -> dict[str, Tensor]:
        student = Outputs(self.model(batch.image))
        with torch.no_grad():
            known = self.taught
            logits = self.teacher(batch.image) if known is None else known[batch.index]
        return self.objective(student, Outputs(logits), batch.target)
