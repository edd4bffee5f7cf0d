"""Per-class accuracy, and the drop of each class against a teacher."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from condenser.errors import CondenserError
from condenser.measure.quality import Predictions
from condenser.tasks import Task


def accuracy_by_class(
    predictions: Predictions, classes: Sequence[str], task: Task
) -> dict[str, float | None]:
    """Recall of each class; None for a class without samples.

    A binary task has two classes, the named one and the ``rest``. With several labels it is the
    accuracy of each label over all samples.
    """
    hits, counts = tally(predictions, task)
    names = [*classes, "rest"] if task.word == "binary" else list(classes)
    shares = zip(names, hits.tolist(), counts.tolist(), strict=True)
    return {name: hit / count if count else None for name, hit, count in shares}


def tally(predictions: Predictions, task: Task) -> tuple[Tensor, Tensor]:
    """Correct and total counts per class: float64 (classes,)."""
    target = predictions.targets
    right = (task.decide(predictions.logits) == target).double()
    if task.word == "multilabel":
        return right.sum(0), torch.full((task.outputs,), float(len(right)), dtype=torch.float64)
    if task.word == "binary":
        right, target = right[:, 0], 1 - target[:, 0].long()  # yes comes first
    size = max(task.outputs, 2)
    return target.bincount(right, minlength=size), target.bincount(minlength=size).double()


def damage(
    predictions: Predictions, teacher: Tensor, classes: Sequence[str], task: Task
) -> dict[str, float | str | None]:
    """Accuracy drop per class against a teacher's logits (N, …) on the same samples.

    A class's drop is the teacher's ``accuracy_by_class`` less the network's, below 0 where the
    network is better; classes without samples do not count.

    Returns:
        worst_class and worst_drop: of the largest drop (the first of equals); mean_drop; std_drop:
        over the classes, which are all there are, so by their number and not one less. All None
        for a teacher whose logits have another shape: it does something else. Nothing of a task
        whose outputs are no classes that are told apart.

    Raises:
        CondenserError: no samples.

    Source: an equal mean can hide unequal classes: Hooker, Courville, Clark, Dauphin, Frome, "What
    Do Compressed Deep Neural Networks Forget?", 2019, https://arxiv.org/abs/1911.05248
    """
    if not task.named:
        return {}
    if teacher.shape != predictions.logits.shape:
        return dict.fromkeys(("worst_class", "worst_drop", "mean_drop", "std_drop"))
    own = accuracy_by_class(predictions, classes, task)
    given = accuracy_by_class(Predictions(teacher, predictions.targets), classes, task)
    drops = {c: given[c] - own[c] for c in own if own[c] is not None}  # type: ignore[operator]
    if not drops:
        raise CondenserError("no samples to compare classes on")
    worst = max(drops, key=lambda name: drops[name])
    values = torch.tensor(list(drops.values()), dtype=torch.float64)
    return {
        "worst_class": worst,
        "worst_drop": drops[worst],
        "mean_drop": values.mean().item(),
        "std_drop": values.std(correction=0).item(),
    }
