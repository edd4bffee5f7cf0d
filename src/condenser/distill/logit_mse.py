"""Regression of the teacher's logits."""

from __future__ import annotations

from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor

from condenser.distill.base import LogitObjective
from condenser.errors import fraction
from condenser.tasks import EVERY


class LogitMSE(LogitObjective):
    """L = α·CE(student, target) + (1-α)·mean (student - teacher)², over batch and outputs.

    Args:
        alpha: weight of the hard labels, in [0, 1]; the papers do best without them.
        standardize: compare z-scores of the logits.

    Raises:
        ConfigError: alpha out of range.

    Ba and Caruana write the mean over the batch of ½ Σ_c, classes/2 times ours; Kim et al. write
    Σ_c, and their code takes the mean, as here.

    Source: Ba, Caruana, "Do Deep Nets Really Need to be Deep?", NeurIPS 2014,
    https://arxiv.org/abs/1312.6184; Kim, Oh, Kim, Cho, Yun, "Comparing Kullback-Leibler Divergence
    and Mean Squared Error Loss in Knowledge Distillation", IJCAI 2021,
    https://arxiv.org/abs/2105.08919
    """

    tasks: ClassVar[tuple[str, ...]] = EVERY

    def __init__(self, alpha: float = 0.0, standardize: bool = False) -> None:
        super().__init__({"hard": fraction("distill.alpha", alpha), "soft": 1 - alpha}, standardize)

    def match(self, student: Tensor, teacher: Tensor, target: Tensor) -> dict[str, Tensor]:
        return {"soft": F.mse_loss(student, teacher)}
