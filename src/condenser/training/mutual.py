"""Deep mutual learning."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torchmetrics import MeanMetric

from condenser.data import Batch
from condenser.distill import Objective, Outputs
from condenser.training.distillation import build_projectors
from condenser.training.state import laid_out
from condenser.training.student import Student


class Mutual(Student):
    """Two networks train together, each with the other's current outputs as its teacher.

    Deep Mutual Learning is L_k = CE + KL(p_other ‖ p_k): ``distill=kd`` with temperature 1 and
    alpha ½, up to the factor 2. Both take a step on the same batch at once; the authors update one,
    recompute, and update the other.

    Source: Zhang, Xiang, Hospedales, Lu, "Deep Mutual Learning", CVPR 2018,
    https://arxiv.org/abs/1706.00384

    Args:
        peer: the other network. Only ``model`` is selected and saved; the peer's validation
            accuracy is logged every epoch, and as ``distill/peer_accuracy`` after the last.
    """

    def __init__(self, *args: Any, peer: nn.Module, peer_objective: Objective, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.peer = laid_out(peer, self.data.example(2))
        self.peer_objective = peer_objective
        peer_objective.setup(self.data.weighted_task, self.data.targets)
        images = self.data.example(2)
        ours = build_projectors(self.objective, self.model, peer, images)
        theirs = build_projectors(peer_objective, peer, self.model, images)
        self.captures = (*ours, *theirs)
        self.peer_accuracy, self.peer_val_accuracy = MeanMetric(), 0.0

    def networks(self) -> list[nn.Module]:
        return [*super().networks(), self.peer, self.peer_objective]

    def on_train_start(self) -> None:
        super().on_train_start()
        for capture in self.captures:
            capture.open()

    def on_train_end(self) -> None:
        for capture in self.captures:
            capture.close()

    def validation_step(self, batch: Batch, number: int) -> None:
        super().validation_step(batch, number)
        task = self.data.task
        decided = task.decisions(self.peer(batch.image), batch.target)
        self.peer_accuracy.update(task.credit(*decided))

    def on_validation_epoch_end(self) -> None:
        super().on_validation_epoch_end()
        self.peer_val_accuracy = float(self.peer_accuracy.compute())
        self.peer_accuracy.reset()
        self.log("val/peer_accuracy", self.peer_val_accuracy)

    def metrics(self) -> dict[str, Any]:
        return super().metrics() | {"distill/peer_accuracy": self.peer_val_accuracy}

    def terms(self, batch: Batch) -> dict[str, Tensor]:
        logits, other = self.model(batch.image), self.peer(batch.image)
        seen, shown, own, given = (capture.take() for capture in self.captures)
        ours = self.compute_loss(
            self.objective,
            Outputs(logits, seen, batch.index),
            frozen(other, shown, batch.index),
            batch.target,
        )
        theirs = self.compute_loss(
            self.peer_objective,
            Outputs(other, own, batch.index),
            frozen(logits, given, batch.index),
            batch.target,
        )
        return {**ours, "loss": ours["loss"] + theirs["loss"], "peer": theirs["loss"]}


def frozen(logits: Tensor, features: dict[str, Tensor], index: Tensor) -> Outputs:
    """A network's outputs, detached, as a teacher's."""
    return Outputs(logits.detach(), {k: f.detach() for k, f in features.items()}, index)
