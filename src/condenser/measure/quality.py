"""Quality metrics: predict once, compute every metric from the predictions."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from condenser.capture import device_of, evaluating
from condenser.errors import CondenserError
from condenser.measure import scores
from condenser.tasks import Multiclass, Task

if TYPE_CHECKING:
    from condenser.data import Batch


class Predictions(NamedTuple):
    """On the CPU. logits: (N, outputs) float32; targets: (N,) int64 or (N, labels) float32."""

    logits: Tensor
    targets: Tensor


def predict(
    model: Callable[[Tensor], Any], batches: Iterable[Batch], task: Task | None = None
) -> Predictions:
    """The logits of ``model`` for every image of ``batches``, in their order.

    ``task`` says which decisions are asked for (``Task.decisions``); None: one for each image.

    A module runs in eval mode, without gradients, on the device of its parameters, and its modes
    are restored. Any other callable (such as an onnxruntime session) gets the images unchanged and
    may return a tensor or an array.

    Raises: CondenserError when there is no batch.
    """
    device = device_of(model)
    logits, targets = [], []
    with evaluating(model):
        for batch in batches:
            output = model(batch.image.to(device))
            said, target = torch.as_tensor(output).detach().float().cpu(), batch.target.cpu()
            if task is not None:
                said, target = task.decisions(said, target)
            logits.append(said)
            targets.append(target)
    if not logits:
        raise CondenserError("nothing to predict: the data held no batch")
    return Predictions(torch.cat(logits), torch.cat(targets))


def quality(
    predictions: Predictions, teacher: Tensor | None = None, task: Task | None = None
) -> dict[str, float | None]:
    """Quality metrics of ``predictions``, also against a teacher's logits of the same images.

    ``task`` None: multiclass. Numbers of labels are means over the labels, each of them a choice
    of yes (probability σ(z) above ½) or no.

    accuracy, top5: fractions; top5 is None with five classes or fewer, and of labels.
    ece: Σ_b n_b/N · |accuracy_b - confidence_b| over 15 equal-width bins of the largest
    probability (of a label: of what was decided). nll: mean of -log p(target), nats.
    Of a binary task also f1 and auroc, the latter None where all targets are equal. Of tokens also
    perplexity e^nll and bits = nll / ln 2, each a token. Of a ranking, whose accuracy is recall@1,
    also recall10 and ndcg10: means of whether the item is among the first ten, and, if it is, of
    1 / log₂(2 + items before it). Of labels also
    exact_match: fraction of samples with every label right; f1: mean over the labels; map: mean
    over the labels that occur of the average precision.
    teacher_accuracy; teacher_agreement: fraction of equal decisions; teacher_kl: mean of
    Σ_c p_teacher · log(p_teacher / p_model), nats, at temperature 1. All None for a teacher whose
    logits have another shape: it does something else.

    Raises: CondenserError when a logit is not finite.
    Source: Guo et al., On Calibration of Modern Neural Networks, 2017, arxiv.org/abs/1706.04599.
    """
    logits, targets = predictions
    task = task or Multiclass(logits.shape[1])
    _must_be_finite(logits, "the model's")
    result = scores.OF[task.word](logits, targets)
    if teacher is None:
        return result
    return result | _beside(logits, targets, teacher.detach().float().cpu(), task)


def _beside(logits: Tensor, targets: Tensor, teacher: Tensor, task: Task) -> scores.Scores:
    if teacher.shape != logits.shape:
        return dict.fromkeys(("teacher_accuracy", "teacher_agreement", "teacher_kl"))
    _must_be_finite(teacher, "the teacher's")
    log_p, log_t = (F.log_softmax(task.choices(z.double()), dim=1) for z in (logits, teacher))
    classes = task.like == Multiclass.word
    accuracy = scores.class_accuracy if classes else scores.label_accuracy
    return {
        "teacher_accuracy": accuracy(teacher, targets),
        "teacher_agreement": accuracy(logits, task.decide(teacher)),
        "teacher_kl": F.kl_div(log_p, log_t, reduction="batchmean", log_target=True).item(),
    }


def _must_be_finite(logits: Tensor, whose: str) -> None:
    bad = int((~torch.isfinite(logits)).any(dim=1).sum())
    if bad:
        raise CondenserError(
            f"{bad} of {len(logits)} rows of {whose} logits are not finite: training diverged, "
            "or a layer overflows; try a lower learning rate or full precision"
        )
