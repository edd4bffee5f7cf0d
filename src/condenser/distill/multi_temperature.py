"""The logit part of multi-level distillation."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from condenser.distill.base import LogitObjective, weights_of
from condenser.errors import ConfigError, positive
from condenser.functional.logit_losses import gram_gap
from condenser.functional.losses import soft_loss


class MultiTemperature(LogitObjective):
    """L = w_h·CE + w_s·Σ_T [T²·KL(t‖s) + ‖ssᵀ - ttᵀ‖²/B + ‖sᵀs - tᵀt‖²/C].

    s and t are softmax(student/T) and softmax(teacher/T), (B, C); the Gram terms, ``batch`` and
    ``class``, say which samples and which classes are alike.

    Args:
        temperatures: every T > 0 of the sum.
        hard_weight: w_h >= 0.
        soft_weight: w_s >= 0, of all three levels.
        standardize: compare z-scores of the logits. The authors of logit standardization do so
            in the KL alone, and leave the Gram terms the logits as they are.

    Raises:
        ConfigError: a setting out of range, or data that are not classes: the Gram matrices are
            those of distributions over them.

    One view of the images; ``MLKD`` has the two of the paper. T² is from the authors' code.

    Source: Jin, Wang, Lin, "Multi-Level Logit Distillation", CVPR 2023,
    https://openaccess.thecvf.com/content/CVPR2023/html/Jin_Multi-Level_Logit_Distillation_CVPR_2023_paper.html
    """

    relational = True

    def __init__(
        self,
        temperatures: Sequence[float] = (2.0, 3.0, 4.0, 5.0, 6.0),
        hard_weight: float = 0.1,
        soft_weight: float = 0.9,
        standardize: bool = False,
    ) -> None:
        weights = weights_of(hard=hard_weight, soft=soft_weight)
        super().__init__(weights | dict.fromkeys(("batch", "class"), soft_weight), standardize)
        if isinstance(temperatures, str | int | float) or not temperatures:
            raise ConfigError("distill.temperatures", temperatures, "a list of numbers above 0")
        self.temperatures = [positive("distill.temperatures", t) for t in temperatures]

    def match(self, student: Tensor, teacher: Tensor, target: Tensor) -> dict[str, Tensor]:
        levels = [self.level(student, teacher, t) for t in self.temperatures]
        soft, batch, classes = (sum(terms[1:], terms[0]) for terms in zip(*levels, strict=True))
        return {"soft": soft, "batch": batch, "class": classes}

    @staticmethod
    def level(student: Tensor, teacher: Tensor, temperature: float) -> tuple[Tensor, ...]:
        """The three terms at one temperature."""
        s, t = ((logits / temperature).softmax(dim=1) for logits in (student, teacher))
        return soft_loss(student, teacher, temperature), gram_gap(s, t), gram_gap(s.T, t.T)
