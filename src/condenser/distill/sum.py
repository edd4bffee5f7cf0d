"""A weighted sum of objectives."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from condenser.distill.base import Objective, Outputs
from condenser.errors import ConfigError, fraction, nonnegative, one_of
from condenser.tasks import EVERY, Task

KEYS = ("weight", "objective", "warmup")


class Sum(Objective):
    """L = Σ w·r·L_term over named objectives, r = min(1, progress/warmup).

    Logs each objective's unweighted loss under its name, and its other terms as ``name/term``.

    Args:
        terms: name → ``weight`` (w >= 0), ``objective``, and, if its weight is to rise from 0 in a
            straight line, ``warmup``: the part of training in [0, 1] after which it is w.

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
        self.warmups = [float(term.get("warmup", 0.0)) for term in terms.values()]
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
        ramps = [min(done / warmup, 1.0) if warmup else 1.0 for warmup in self.warmups]
        self.weights = [ramp * w for ramp, w in zip(ramps, self.full, strict=True)]
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
    fraction(f"distill.{key}.warmup", term.get("warmup", 0.0))
    if not isinstance(term["objective"], Objective):
        raise ConfigError(f"distill.{key}.objective", term["objective"], "an objective's _target_")
