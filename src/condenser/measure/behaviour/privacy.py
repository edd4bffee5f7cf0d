"""Membership inference: was this sample trained on? From the logits of members and others."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from condenser.errors import CondenserError
from condenser.measure.behaviour.roc import separation
from condenser.measure.quality import Predictions

TINY = 1e-300  # below which a probability's logarithm is not taken


def membership(
    members: Predictions, others: Predictions, repeats: int = 200, seed: int = 0
) -> dict[str, float]:
    """``separation`` of members from others by each of ``scores``, as ``loss/auc`` and so on."""
    own, given = scores(members), scores(others)
    found: dict[str, float] = {}
    for attack, score in own.items():
        result = separation(score.numpy(), given[attack].numpy(), repeats, seed)
        found |= {f"{attack}/{key}": value for key, value in result.items()}
    return found


def scores(predictions: Predictions) -> dict[str, Tensor]:
    """Of each sample how likely it is a member, by attacks that need one network: float64 (N,).

    loss: log p_y. confidence: log of the largest probability. entropy: Σ_c p_c log p_c.
    modified_entropy: (1 - p_y) log p_y + Σ_{c≠y} p_c log(1 - p_c).

    Sources: loss: Yeom, Giacomelli, Fredrikson, Jha 2018, https://arxiv.org/abs/1709.01604;
    confidence and entropy: Salem, Zhang, Humbert, Berrang, Fritz, Backes 2019,
    https://arxiv.org/abs/1806.01246; modified entropy: Song, Mittal 2021, equation 8,
    https://arxiv.org/abs/2003.10595, of which one threshold serves all classes here.
    """
    log_p = F.log_softmax(predictions.logits.double(), dim=1)
    p, target = log_p.exp(), predictions.targets.unsqueeze(1)
    own = log_p.gather(1, target)[:, 0]
    log_rest = (1 - p).clamp(min=TINY).log()
    others = (p * log_rest).scatter(1, target, 0).sum(1)
    return {
        "loss": own,
        "confidence": log_p.max(1).values,
        "entropy": (p * log_p).sum(1),
        "modified_entropy": (1 - own.exp()) * own + others,
    }


def margin(predictions: Predictions) -> Tensor:
    """log(p_y / (1 - p_y)), which for one sample is about normal over networks: float64 (N,)."""
    logits, target = predictions.logits.double(), predictions.targets.unsqueeze(1)
    own = logits.gather(1, target)[:, 0]
    return own - logits.scatter(1, target, -torch.inf).logsumexp(1)


def calibrated(own: Tensor, without: Tensor) -> Tensor:
    """The offline likelihood-ratio attack: (φ - mean of φ over networks without the sample) / σ.

    φ is ``margin``; σ, the deviation about those means, is one for all samples, as the authors do
    where networks are few.

    Args:
        own: φ under the network attacked, (N,).
        without: φ under reference networks that were not trained on the sample: (K, N), as many
            for members as for others, as a mean of more would be less noisy.

    Raises:
        CondenserError: no reference network.

    Source: Carlini, Chien, Nasr, Song, Terzis, Tramèr, "Membership Inference Attacks From First
    Principles", S&P 2022, https://arxiv.org/abs/2112.03570
    """
    if not len(without):
        raise CondenserError("no reference network: the attack compares with at least one")
    spread = (without - without.mean(0)).square().mean().sqrt()
    return (own - without.mean(0)) / (spread if spread > 0 else 1.0)
