"""One objective for K students: the same terms, each with its own numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.func import vmap
from torch.overrides import TorchFunctionMode

from condenser.distill import Labels, Objective, Outputs
from condenser.distill.base import LogitObjective

Numbers = dict[tuple[str, ...], float]


class Plain(TorchFunctionMode):
    """KL of log-probabilities by its formula: torch maps F.kl_div over students in a loop."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is not F.kl_div:
            return func(*args, **(kwargs or {}))
        return divergence(*args, **(kwargs or {}))


def divergence(
    own: Tensor, given: Tensor, *, reduction: str = "mean", log_target: bool = False, **_: Any
) -> Tensor:
    """F.kl_div, as the docs of torch define it."""
    each = given.exp() * (given - own) if log_target else given.xlogy(given) - given * own
    if reduction == "batchmean":
        return each.sum() / own.shape[0]
    return {"mean": each.mean(), "sum": each.sum(), "none": each}[reduction]


def fits(objective: Objective) -> bool:
    """Whether its terms are functions of logits, target and its numbers alone."""
    return (
        isinstance(objective, LogitObjective | Labels)
        and not (objective.student_layers or objective.teacher_layers or objective.stochastic)
        and not any(True for _ in (*objective.parameters(), *objective.buffers()))
        and not any(True for _ in objective.children())
    )


def moves(objective: Objective) -> bool:
    """Whether its numbers are others at every step."""
    return type(objective).progress is not Objective.progress


def numbers(objective: Objective) -> Numbers:
    """Its settings that are numbers, by attribute, or by attribute and key."""
    found: Numbers = {}
    for name, value in vars(objective).items():
        pairs = value.items() if type(value) is dict and name[0] != "_" else [(None, value)]
        for key, number in pairs:
            if type(number) in (int, float):
                found[(name,) if key is None else (name, key)] = number
    return found


def rest(objective: Objective) -> str:
    """What else it is, in words."""
    said = [f"{type(objective).__module__}.{type(objective).__qualname__}"]
    for name, value in sorted(vars(objective).items()):
        if type(value) is dict and name[0] != "_":
            value = {key: one for key, one in value.items() if type(one) not in (int, float)}
        if name[0] != "_" and name != "training" and type(value) not in (int, float):
            said.append(f"{name}={value!r}")
    return " ".join(said)


@contextmanager
def having(objective: Objective, values: Mapping[tuple[str, ...], Tensor]) -> Iterator[None]:
    """Within it, these are its numbers."""
    before = dict(vars(objective))
    for path, value in values.items():
        name, *key = path
        new = {**vars(objective)[name], key[0]: value} if key else value
        vars(objective)[name] = new
    try:
        yield
    finally:
        vars(objective).update(before)


class Objectives:
    """Terms of K students, (K,) each; the numbers that differ are vectors."""

    def __init__(self, each: Sequence[Objective], device: torch.device) -> None:
        self.one = each[0]
        of = [numbers(objective) for objective in each]
        differ = [path for path in of[0] if len({found[path] for found in of}) > 1]
        self.values = {
            path: torch.tensor([found[path] for found in of], device=device) for path in differ
        }

    def __call__(self, own: Tensor, given: Tensor | None, target: Tensor) -> dict[str, Tensor]:
        """Of logits (K, batch, outputs), the teachers' or none, and targets (K, batch, …)."""

        def terms(values: Any, own: Tensor, target: Tensor, *given: Tensor) -> dict[str, Tensor]:
            with having(self.one, values):
                teacher = Outputs(given[0]) if given else None
                return self.one(Outputs(own), teacher, target)

        with Plain():
            return vmap(terms)(self.values, own, target, *([] if given is None else [given]))

    def weight(self, name: str, weight: float) -> Tensor:
        """Of a term in the loss, without its sign: (K,) where it differs."""
        return self.values.get(("weights", name), torch.tensor(weight)).abs()
