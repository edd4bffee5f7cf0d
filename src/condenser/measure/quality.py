"""How good a model is: its predictions once, and every quality number from them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from condenser.errors import CondenserError
from condenser.measure.conditions import device_of, evaluating

if TYPE_CHECKING:
    from condenser.data import Batch

BINS = 15  # equal-width confidence bins, as in Guo et al. 2017
TOP5_FROM = 6  # with five classes or fewer everything is in the top five


class Predictions(NamedTuple):
    """logits: (N, C) float32 on the CPU; targets: (N,) int64 on the CPU."""

    logits: Tensor
    targets: Tensor


def predict(model: Callable[[Tensor], Any], batches: Iterable[Batch]) -> Predictions:
    """The logits of ``model`` for every image of ``batches``, in their order.

    A module runs in eval mode, without gradients, on the device of its parameters, and gets its
    modes back. Any other callable (a wrapped onnxruntime session) gets the images as they come
    and may answer with a tensor or an array.

    Raises: CondenserError when there is no batch.
    """
    device = device_of(model)
    logits, targets = [], []
    with evaluating(model):
        for batch in batches:
            output = model(batch.image.to(device))
            logits.append(torch.as_tensor(output).detach().float().cpu())
            targets.append(batch.target.cpu())
    if not logits:
        raise CondenserError("nothing to predict: the data held no batch")
    return Predictions(torch.cat(logits), torch.cat(targets))


def quality(predictions: Predictions, teacher: Tensor | None = None) -> dict[str, float | None]:
    """Quality of ``predictions``, and beside a teacher's logits (N, C) of the same images.

    accuracy, top5: fractions; top5 is None with five classes or fewer.
    ece: Σ_b n_b/N · |accuracy_b - confidence_b| over 15 equal-width bins of the largest
    probability. nll: mean of -log p(target), nats.
    teacher_accuracy; teacher_agreement: fraction of equal argmax;
    teacher_kl: mean of Σ_c p_teacher · log(p_teacher / p_model), nats, at temperature 1.

    Raises: CondenserError when a logit is not finite, ValueError when the shapes differ.
    Source: Guo et al., On Calibration of Modern Neural Networks, 2017, arxiv.org/abs/1706.04599.
    """
    logits, targets = predictions
    _must_be_finite(logits, "the model's")
    log_p = F.log_softmax(logits.double(), dim=1)
    result: dict[str, float | None] = {
        "accuracy": _accuracy(logits, targets),
        "top5": _accuracy(logits, targets, k=5) if logits.shape[1] >= TOP5_FROM else None,
        "ece": _calibration_error(log_p.exp(), targets),
        "nll": F.nll_loss(log_p, targets).item(),
    }
    if teacher is not None:
        result |= _beside(log_p, targets, teacher)
    return result


def _beside(log_p: Tensor, targets: Tensor, teacher: Tensor) -> dict[str, float]:
    teacher = teacher.detach().float().cpu()
    if teacher.shape != log_p.shape:
        allowed = tuple(log_p.shape)
        raise ValueError(f"teacher logits of shape {tuple(teacher.shape)}: allowed is {allowed}")
    _must_be_finite(teacher, "the teacher's")
    log_t = F.log_softmax(teacher.double(), dim=1)
    return {
        "teacher_accuracy": _accuracy(teacher, targets),
        "teacher_agreement": _accuracy(log_p, teacher.argmax(dim=1)),
        "teacher_kl": F.kl_div(log_p, log_t, reduction="batchmean", log_target=True).item(),
    }


def _accuracy(scores: Tensor, targets: Tensor, k: int = 1) -> float:
    from torchmetrics.functional.classification import multiclass_accuracy

    share = multiclass_accuracy(scores, targets, scores.shape[1], average="micro", top_k=k)
    return round(share.item(), 7)  # torchmetrics counts in float32: 0.9876, not 0.98760002851


def _calibration_error(probabilities: Tensor, targets: Tensor) -> float:
    """Probabilities, because torchmetrics would take logits within [0, 1] for probabilities."""
    from torchmetrics.functional.classification import multiclass_calibration_error

    # torchmetrics keeps a bin of its own for confidence 1, which saturated logits do reach.
    below_one = 1 - torch.finfo(torch.float32).eps
    return multiclass_calibration_error(
        probabilities.clamp(max=below_one), targets, probabilities.shape[1], n_bins=BINS, norm="l1"
    ).item()


def _must_be_finite(logits: Tensor, whose: str) -> None:
    bad = int((~torch.isfinite(logits)).any(dim=1).sum())
    if bad:
        raise CondenserError(
            f"{bad} of {len(logits)} rows of {whose} logits are not finite: training diverged, "
            "or a layer overflows; try a lower learning rate or full precision"
        )
