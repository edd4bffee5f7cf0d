"""Grid search for Optuna's ask-and-tell interface."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from optuna.distributions import BaseDistribution, json_to_distribution
from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import FrozenTrial

SPACE = "space"  # study attribute: each setting's distribution as JSON


class Grid(BaseSampler):
    """The n-th trial is the n-th point, the last setting moving fastest.

    Optuna's own GridSampler works inside ``Study.optimize`` only. ``seed`` changes nothing.
    """

    def __init__(self, seed: int | None = None) -> None:
        self.seed = seed

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        return {}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: Mapping[str, BaseDistribution]
    ) -> dict[str, Any]:
        return {}

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        kept: dict[str, str] = study.user_attrs[SPACE]
        place = trial.number
        for name, text in reversed(kept.items()):
            values = listed(json_to_distribution(text))
            if name == param_name:
                return values[place % len(values)]
            place //= len(values)
        raise KeyError(param_name)


def listed(distribution: Any) -> Sequence[Any]:
    """The values of a finite distribution."""
    if hasattr(distribution, "choices"):
        return distribution.choices  # type: ignore[no-any-return]
    step, low, high = distribution.step, distribution.low, distribution.high
    count = int((high - low) / step + 1e-9) + 1 if step else 1
    return [low + step * place if step else low for place in range(count)]
