"""Quality metrics per task, from the logits of a whole set."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from condenser.functional.losses import yes_or_no
from condenser.functional.ranking import ndcg, recall
from condenser.tasks import Binary, Multiclass, Multilabel, Ranking, TokenPrediction, Translation

BINS = 15  # equal-width confidence bins, as in Guo et al. 2017
TOP5_FROM = 6  # with five classes or fewer top-5 is trivial
MOST = 700.0  # nats whose exponential is a float
Scores = dict[str, float | None]


def of_classes(logits: Tensor, targets: Tensor) -> Scores:
    """Logits (N, classes), targets (N,)."""
    log_p = F.log_softmax(logits.double(), dim=1)
    top5 = class_accuracy(logits, targets, k=5) if logits.shape[1] >= TOP5_FROM else None
    return {
        "accuracy": class_accuracy(logits, targets),
        "top5": top5,
        "ece": calibration_error(log_p.exp(), targets),
        "nll": F.nll_loss(log_p, targets).item(),
    }


def of_answer(logits: Tensor, targets: Tensor) -> Scores:
    """Logits and targets (N, 1)."""
    from torchmetrics.functional.classification import binary_auroc, binary_f1_score

    asked = targets.flatten().long()
    both = asked.unique().numel() == 2
    said = (logits > 0).flatten().long()
    return of_each_label(logits, targets) | {
        "f1": rounded(binary_f1_score(said, asked)),
        "auroc": rounded(binary_auroc(ranks(logits).flatten(), asked)) if both else None,
    }


def of_labels(logits: Tensor, targets: Tensor) -> Scores:
    """Logits and targets (N, labels)."""
    from torchmetrics.functional.classification import binary_average_precision, binary_f1_score

    asked, said, scores = targets.long(), (logits > 0).long(), ranks(logits)
    f1 = [binary_f1_score(s, a) for s, a in zip(said.T, asked.T, strict=True)]
    found = [i for i in range(asked.shape[1]) if asked[:, i].any()]
    precision = [binary_average_precision(scores[:, i], asked[:, i]) for i in found]
    return of_each_label(logits, targets) | {
        "exact_match": rounded((said == asked).all(dim=1).double().mean()),
        "f1": rounded(torch.stack(f1).mean()),
        "map": rounded(torch.stack(precision).mean()) if found else None,
    }


def of_each_label(logits: Tensor, targets: Tensor) -> Scores:
    """Each label as an independent decision; means over the labels."""
    log_p = F.log_softmax(yes_or_no(logits.double()), dim=1).unflatten(0, logits.shape)
    wrong = (1 - targets).long()  # yes is first, no second
    errors = [
        calibration_error(p.exp(), t) for p, t in zip(log_p.unbind(1), wrong.unbind(1), strict=True)
    ]
    return {
        "accuracy": label_accuracy(logits, targets),
        "top5": None,
        "ece": sum(errors) / len(errors),
        "nll": F.nll_loss(log_p.flatten(0, 1), wrong.flatten()).item(),
    }


def of_tokens(logits: Tensor, targets: Tensor) -> Scores:
    """Logits (N, tokens), targets (N,): N positions."""
    found = of_classes(logits, targets)
    nll = float(found["nll"] or 0.0)
    return found | {"perplexity": math.exp(min(nll, MOST)), "bits": nll / math.log(2)}


def of_ranking(logits: Tensor, targets: Tensor) -> Scores:
    """Logits (N, items), targets (N,); the items already seen left out."""
    return of_classes(logits, targets) | {
        "recall10": rounded(recall(logits, targets, 10).double().mean()),
        "ndcg10": rounded(ndcg(logits, targets, 10).double().mean()),
    }


OF: dict[str, Callable[[Tensor, Tensor], Scores]] = {
    Multiclass.word: of_classes,
    Binary.word: of_answer,
    Multilabel.word: of_labels,
    TokenPrediction.word: of_tokens,
    Translation.word: of_tokens,
    Ranking.word: of_ranking,
}


def class_accuracy(logits: Tensor, targets: Tensor, k: int = 1) -> float:
    from torchmetrics.functional.classification import multiclass_accuracy

    return rounded(multiclass_accuracy(logits, targets, logits.shape[1], average="micro", top_k=k))


def label_accuracy(logits: Tensor, targets: Tensor) -> float:
    """Fraction of all labels that are correct."""
    return rounded(((logits > 0) == (targets > 0)).double().mean())


def calibration_error(probabilities: Tensor, targets: Tensor) -> float:
    """From probabilities, because torchmetrics mistakes logits within [0, 1] for probabilities."""
    from torchmetrics.functional.classification import multiclass_calibration_error

    # torchmetrics has a separate bin for confidence 1, which saturated logits do reach.
    below_one = 1 - torch.finfo(torch.float32).eps
    return multiclass_calibration_error(
        probabilities.clamp(max=below_one), targets, probabilities.shape[1], n_bins=BINS, norm="l1"
    ).item()


def ranks(logits: Tensor) -> Tensor:
    """Ranks of the logits scaled to [0, 1]: probabilities near 1 would tie."""
    place = logits.unique(return_inverse=True)[1].double()
    return place / place.max().clamp(min=1)


def rounded(share: Tensor) -> float:
    """torchmetrics counts in float32: 0.9876, not 0.98760002851."""
    return round(share.item(), 7)
