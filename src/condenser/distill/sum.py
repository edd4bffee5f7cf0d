"""A weighted sum of objectives."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from condenser.distill.base import Objective, Outputs
from condenser.errors import ConfigError, fraction, nonnegative, one_of
from condenser.tasks import EVERY, Task

KEYS = ("weight", "objective", "warmup", "begin", "until")


class Ramp(NamedTuple):
    """How much of its weight a term has: progress in [0, 1] → r."""

    warmup: float
    begin: float
    until: float

    def __call__(self, done: float) -> float:
        if done < self.begin or (done >= self.until and self.until < 1):
            return 0.0
        return min((done - self.begin) / self.warmup, 1.0) if self.warmup else 1.0


class Sum(Objective):
    """L = Σ w·r·L_term over named objectives, r = min(1, (progress - begin)/warmup) from ``begin``
    to ``until``, else 0.

    Logs each objective's unweighted loss under its name, and its other terms as ``name/term``.

    Args:
        terms: name → ``weight`` (w >= 0), ``objective``, and in parts of training, all in [0, 1]:
            ``warmup``, in which its weight rises from 0 to w in a straight line; ``begin`` and
            ``until``, between which it counts.

    Raises:
        ConfigError: no terms, one that is called loss, or one with a bad setting.
    """

    tasks: ClassVar[tuple[str, ...]] = EVERY  # its parts are asked

    def __init__(self, terms: Mapping[str, Mapping[str, Any]]) -> None:
        super().__init__()
        if not terms or "loss" in terms:
            raise ConfigError("distill.terms", list(terms), "a name for each term, and not loss")
        for name, term in terms.items():
            check(name, term)
        self.names = list(terms)
        self.parts: list[Objective] = [term["objective"] for term in terms.values()]
        self.objectives = nn.ModuleList(
            self.parts
        )  # registered, so that their projectors are trained
        self.full = [float(term["weight"]) for term in terms.values()]
        self.ramps = [Ramp(*map(float, times(term))) for term in terms.values()]
        self.weights = self.full
        self.relational = any(part.relational for part in self.parts)
        self.gather()

    def gather(self) -> None:
        """Collect the layers that the objectives need."""
        self.student_layers = list(dict.fromkeys(n for p in self.parts for n in p.student_layers))
        self.teacher_layers = list(dict.fromkeys(n for p in self.parts for n in p.teacher_layers))

    def setup(self, task: Task, targets: Tensor) -> None:
        super().setup(task, targets)
        for objective in self.parts:
            objective.setup(task, targets)

    def select_layers(self, student: nn.Module, teacher: nn.Module, image: Tensor) -> None:
        for objective in self.parts:
            objective.select_layers(student, teacher, image)
        self.gather()

    def build_projectors(self, student: Outputs, teacher: Outputs) -> None:
        for objective in self.parts:
            objective.build_projectors(student, teacher)

    def term_weights(self) -> Mapping[str, float]:
        return dict(zip(self.names, self.weights, strict=True))

    def progress(self, done: float) -> None:
        self.weights = [ramp(done) * w for ramp, w in zip(self.ramps, self.full, strict=True)]
        for objective in self.parts:
            objective.progress(done)

    def forward(
        self, student: Outputs, teacher: Outputs | None, target: Tensor
    ) -> dict[str, Tensor]:
        terms: dict[str, Tensor] = {}
        for name, objective in zip(self.names, self.parts, strict=True):
            own = objective(student, teacher, target)
            terms[name] = own.pop("loss")
            terms |= {f"{name}/{part}": value for part, value in own.items()}
        weighted = [w * terms[name] for name, w in zip(self.names, self.weights, strict=True)]
        return {"loss": torch.stack(weighted).sum(), **terms}


def check(name: str, term: Mapping[str, Any]) -> None:
    """ConfigError for a term whose settings are missing, unknown or out of range."""
    key = f"terms.{name}"
    if not {"weight", "objective"} <= set(term) <= set(KEYS):
        raise ConfigError(f"distill.{key}", list(term), f"weight and objective, {one_of(KEYS)}")
    nonnegative(f"distill.{key}.weight", term["weight"])
    warmup, begin, until = times(term)
    for word, value in (("warmup", warmup), ("begin", begin), ("until", until)):
        fraction(f"distill.{key}.{word}", value)
    if begin >= until:
        raise ConfigError(f"distill.{key}.begin", begin, f"below distill.{key}.until={until}")
    if not isinstance(term["objective"], Objective):
        raise ConfigError(f"distill.{key}.objective", term["objective"], "an objective's _target_")


def times(term: Mapping[str, Any]) -> tuple[Any, Any, Any]:
    """Its warm-up, begin and end, in parts of training."""
    return term.get("warmup", 0.0), term.get("begin", 0.0), term.get("until", 1.0)
