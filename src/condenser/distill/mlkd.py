"""Multi-level logit distillation with its two views."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
from torch import Tensor

from condenser.distill.base import Objective, Outputs, weights_of
from condenser.errors import ConfigError, positive
from condenser.functional.logit_losses import gram_gap
from condenser.functional.losses import soft_loss


class MLKD(Objective):
    """L = w_h·[CE(z) + CE(z')] + w_s·Σ_T {m·KD_T(z) + KD_T(z') + m·B_T(z) + k·C_T(z)}.

    z are the student's logits for an image as usually augmented, z' for its strong view, which the
    teacher sees, too. KD_T is T²·KL at temperature T; B_T = ‖ssᵀ - ttᵀ‖²/batch and C_T = ‖sᵀs -
    tᵀt‖²/classes with s, t = softmax(z/T), (batch, classes). m and k are the parts of the samples
    and of the classes of which the teacher is no surer than of the median.

    Args:
        temperatures: every T > 0 of the sum.
        hard_weight: w_h >= 0.
        soft_weight: w_s >= 0.

    Raises:
        ConfigError: a setting out of range; no ``data.strong``; data that are not classes.

    As in the authors' code, where masks multiply sums already reduced (the paper's keep samples and
    classes), and the Gram terms of the strong view are computed and not used; but for T = 2 and 6,
    whose strong KD takes the weak logits there. The student and the teacher run twice.

    Source: Jin, Wang, Lin, "Multi-Level Logit Distillation", CVPR 2023,
    https://openaccess.thecvf.com/content/CVPR2023/html/Jin_Multi-Level_Logit_Distillation_CVPR_2023_paper.html;
    code: https://github.com/Jin-Ying/Multi-Level-Logit-Distillation
    """

    wants_strong: ClassVar[bool] = True
    takes_shares: ClassVar[bool] = False
    relational = True

    def __init__(
        self,
        temperatures: Sequence[float] = (2.0, 3.0, 4.0, 5.0, 6.0),
        hard_weight: float = 0.1,
        soft_weight: float = 0.9,
    ) -> None:
        super().__init__()
        given = weights_of(hard=hard_weight, soft=soft_weight)
        self.weights = given | dict.fromkeys(("strong", "batch", "class"), given["soft"])
        if isinstance(temperatures, str | int | float) or not temperatures:
            raise ConfigError("distill.temperatures", temperatures, "a list of numbers above 0")
        self.temperatures = [positive("distill.temperatures", t) for t in temperatures]

    def term_weights(self) -> Mapping[str, float]:
        return self.weights

    def forward(
        self, student: Outputs, teacher: Outputs | None, target: Tensor
    ) -> dict[str, Tensor]:
        assert teacher is not None
        assert student.strong is not None and teacher.strong is not None
        with torch.autocast(target.device.type, enabled=False):
            weak, strong = student.logits.float(), student.strong.float()
            given, shown = teacher.logits.detach().float(), teacher.strong.detach().float()
            hard = self.task.hard_loss(weak, target) + self.task.hard_loss(strong, target)
            seen = torch.stack([soft_loss(strong, shown, t) for t in self.temperatures]).sum()
            terms = {"hard": hard, "strong": seen, **self.levels(weak, given)}
        loss = torch.stack([w * terms[name] for name, w in self.weights.items()]).sum()
        return {"loss": loss, **terms}

    def levels(self, student: Tensor, teacher: Tensor) -> dict[str, Tensor]:
        """Of the weak view: its samples, and how samples and classes relate."""
        sure = teacher.softmax(dim=1)
        samples, classes = unsure(sure.amax(dim=1)), unsure(sure.sum(dim=0))
        soft, batch, kinds = [], [], []
        for temperature in self.temperatures:
            s, t = ((z / temperature).softmax(dim=1) for z in (student, teacher))
            soft.append(samples * soft_loss(student, teacher, temperature))
            batch.append(samples * gram_gap(s, t))
            kinds.append(classes * gram_gap(s.T, t.T))
        terms = {"soft": soft, "batch": batch, "class": kinds}
        return {name: torch.stack(values).sum() for name, values in terms.items()}


def unsure(confidence: Tensor) -> Tensor:
    """The part of the values that are at most their median."""
    return (confidence <= confidence.quantile(0.5)).float().mean()
