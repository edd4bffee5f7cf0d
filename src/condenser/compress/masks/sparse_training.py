"""Sparse training: a proximal step of a sparsity penalty after each optimiser step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from condenser.compress.base import CalibrationData, Compression, Operation, Patterns, State
from condenser.compress.masks.penalties import Penalty
from condenser.compress.patterns import listed
from condenser.errors import ConfigError, nonnegative
from condenser.functional.schedules import cosine


class SparseTraining(Compression):
    """After each optimiser step, the proximal step of a penalty: w ← prox_{τ·penalty}(w),
    τ = strength·schedule(p), p the part of training that lay behind when the step began, as it is
    for the learning rate: where both fall to zero, the last zeros stay.

    With SGD of rate η that is proximal gradient descent on loss + λ·penalty, strength = η·λ where
    η follows the schedule too. It is exact where a subgradient of |w| is not: zeros are zeros. With
    adaptive optimisers it is decoupled from their scaling, as AdamW's decay is.

    It prunes nothing and leaves no operation: zeros that it makes may come back in later training,
    unless a pruning stage takes them first.

    Args:
        strength: the most that a step takes off an |w|, ≥ 0.
        penalty: what is made small.
        schedule: progress in [0, 1] → factor; as the learning rate's.
        exclude: patterns of layer names that are left alone.

    Raises:
        ConfigError: a strength that is negative or infinite; in ``prepare``, nothing to weigh on.

    Source: Parikh, Boyd, "Proximal Algorithms", 2014, https://doi.org/10.1561/2400000003
    """

    kind: ClassVar[str] = "sparse"
    by_training = True

    def __init__(
        self,
        strength: float,
        penalty: Penalty,
        schedule: Callable[[float], float] = cosine,
        exclude: Sequence[str] = (),
    ) -> None:
        self.strength, self.penalty = nonnegative("sparse.strength", strength), penalty
        self.schedule, self.exclude = schedule, listed("sparse.exclude", exclude)
        self.progress = 0.0

    def named(self, model: nn.Module, image: Tensor | None) -> dict[str, Patterns]:
        return {
            "sparse.exclude": (self.exclude, _owners(model, self.penalty.parameters(model, ())))
        }

    def check(self, model: nn.Module, image: Tensor) -> None:
        self.prepare(model)

    def prepare(self, model: nn.Module, calibration: CalibrationData | None = None) -> None:
        if calibration is None or not calibration.operations:
            self.refuse_unmatched(model, None)
        self.parameters = self.penalty.parameters(model, self.exclude)
        if not self.parameters:
            kind = type(self.penalty).__name__
            allowed = f"one with something to weigh on in this {type(model).__name__}"
            raise ConfigError("sparse.penalty", kind, allowed)
        owners = _owners(model, self.parameters)
        if all(p.dim() > 1 for p in self.parameters):  # of scales there is nothing to tell
            self.reached = owners

    @torch.no_grad()
    def step(self, progress: float) -> None:
        amount = self.strength * self.schedule(self.progress)
        self.penalty.shrink([p.detach() for p in self.parameters], amount)
        self.progress = progress

    @property
    def ready(self) -> bool:
        """After the last step: an earlier epoch is more accurate because it is less sparse."""
        return self.progress >= 1

    def state(self) -> State:
        return {"progress": torch.tensor(self.progress, dtype=torch.float64)}

    def restore(self, state: State) -> None:
        self.progress = float(state["progress"])

    def finish(self) -> list[Operation]:
        return []


def _owners(model: nn.Module, parameters: Sequence[nn.Parameter]) -> list[str]:
    """The layers that these parameters belong to."""
    wanted = {id(parameter) for parameter in parameters}
    return [
        name
        for name, module in model.named_modules()
        if any(id(parameter) in wanted for parameter in module.parameters(recurse=False))
    ]
