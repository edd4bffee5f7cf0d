"""Factor transfer."""

from __future__ import annotations

from itertools import pairwise
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from condenser.capture import last_pair
from condenser.distill.feature import FeatureObjective, Layers
from condenser.errors import fraction, nonnegative, positive
from condenser.functional.map_losses import factor_gap


class FT(FeatureObjective):
    """L = β·mean |f_s/‖f_s‖ - f_t/‖f_t‖|, f_s = translator(F_s), f_t = encoder(F_t), last maps.

    Encoder and decoder are a paraphraser of the teacher: pretrained without labels to compress its
    map to rate·channels, which the translator then imitates. Here the first part of training is
    that pretraining, with L = mean |decoder(f_t) - F_t| and no loss for the student; then encoder
    and decoder are frozen, without gradients (DDP needs find_unused_parameters).

    As in the authors' code p = 1, the norms are over channels and places, and no batch norms. The
    tables' code compares maps of the mean of f² over channels, with weight 200.

    Args:
        factor_weight: β >= 0; the paraphraser's loss has weight 1.
        rate: channels of the factors, over the teacher's; above 0.
        paraphrase: the part of training, from 0 to 1, that is the paraphraser's.

    Raises:
        ConfigError: a setting out of range.

    Source: Kim, Park, Kwak, "Paraphrasing Complex Network: Network Compression via Factor
    Transfer", NeurIPS 2018, https://arxiv.org/abs/1802.04977; code:
    https://github.com/Jangho-Kim/Factor-Transfer-pytorch
    """

    pairs = last_pair
    maps: ClassVar[bool] = True

    def __init__(
        self,
        factor_weight: float = 500.0,
        rate: float = 0.5,
        paraphrase: float = 0.1,
        student_layers: Layers = "auto",
        teacher_layers: Layers = "auto",
    ) -> None:
        super().__init__(student_layers, teacher_layers)
        self.factor_weight = nonnegative("distill.factor_weight", factor_weight)
        self.rate, self.paraphrase = (
            positive("distill.rate", rate),
            fraction("distill.paraphrase", paraphrase),
        )
        self.paraphrased = True

    def progress(self, done: float) -> None:
        self.paraphrased = done >= self.paraphrase

    def build(self, student: list[Tensor], teacher: list[Tensor]) -> None:
        widths = [(s.shape[1], t.shape[1]) for s, t in zip(student, teacher, strict=True)]
        factors = [max(1, round(self.rate * wide)) for _, wide in widths]
        both = list(zip(widths, factors, strict=True))
        self.encoders = nn.ModuleList(convolutions(t, t, f, f) for (_, t), f in both)
        self.decoders = nn.ModuleList(convolutions(f, f, t, t) for (_, t), f in both)
        self.translators = nn.ModuleList(convolutions(s, s, f, f) for (s, _), f in both)

    def compare(self, student: list[Tensor], teacher: list[Tensor], target: Tensor) -> Tensor:
        if not self.paraphrased:
            sides = zip(self.encoders, self.decoders, teacher, strict=True)
            return torch.stack([F.l1_loss(d(e(t)), t) for e, d, t in sides]).sum()
        with torch.no_grad():
            factors = [encode(t) for encode, t in zip(self.encoders, teacher, strict=True)]
        said = [say(s) for say, s in zip(self.translators, student, strict=True)]
        gaps = [factor_gap(own, given) for own, given in zip(said, factors, strict=True)]
        return self.factor_weight * torch.stack(gaps).sum()


def convolutions(*widths: int) -> nn.Module:
    """3×3 convolutions from each width to the next, a leaky ReLU of slope 0.1 after each."""
    layers = [(nn.Conv2d(i, o, 3, padding=1), nn.LeakyReLU(0.1)) for i, o in pairwise(widths)]
    return nn.Sequential(*(module for layer in layers for module in layer))
