"""The interface of inheritance: initialising a student from its teacher."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from condenser.errors import ConfigError

NAMED = 3  # mismatches listed in an error


@dataclass(frozen=True)
class Inherited:
    """Summary of what a student inherited.

    Attributes:
        tensors: how many of the student's parameters and buffers were initialised, out of
        of: how many there are.
        parameters: fraction of the student's parameters taken from the teacher, in (0, 1].
        layers: student layer ← teacher layer.
        random: the tensors left at their own initialisation.
    """

    tensors: int
    of: int
    parameters: float
    layers: dict[str, str]
    random: tuple[str, ...]


class Inheritance(ABC):
    """A way to initialise a student with its teacher's values instead of random ones."""

    word: ClassVar[str]  # its name in conf/inherit

    @abstractmethod
    def __call__(self, student: nn.Module, teacher: nn.Module, image: Tensor) -> Inherited:
        """Initialise the student in place; the teacher is unchanged.

        Args:
            image: normalised images (batch, channels, height, width), for tracing.

        Raises:
            ConfigError: nothing could be inherited; names the mismatches.
        """


def fill(
    student: nn.Module,
    offered: Mapping[str, Tensor],
    word: str,
    why_not: Mapping[str, str] | None = None,
) -> Inherited:
    """Copy every offered tensor whose name and shape match one of the student's.

    Counters (0-d buffers) are copied if another tensor of their layer fits.

    Args:
        why_not: layer → why its tensors may not fit.

    Raises:
        ConfigError: no weight fits (a parameter of two dimensions or more): what is left then,
            a bias or a batch norm, belongs to weights that the student does not have.
    """
    state, own = student.state_dict(), dict(student.named_parameters())
    fits = {n: t for n, t in offered.items() if n in state and t.shape == state[n].shape}
    layers = {layer_of(name) for name, tensor in fits.items() if tensor.dim()}
    fits = {n: t for n, t in fits.items() if t.dim() or n in own or layer_of(n) in layers}
    if not any(own[name].dim() > 1 for name in own.keys() & fits.keys()):
        allowed = f"a method that finds something for {type(student).__name__} in this teacher"
        raise ConfigError("inherit", word, allowed, misfits(state, offered, why_not or {}))
    with torch.no_grad():
        for name, tensor in fits.items():
            state[name].copy_(tensor)
    taken = sum(own[name].numel() for name in own.keys() & fits.keys())
    return Inherited(
        tensors=len(fits),
        of=len(state),
        parameters=taken / sum(p.numel() for p in own.values()),
        layers={layer: layer for layer in dict.fromkeys(map(layer_of, state)) if layer in layers},
        random=tuple(name for name in state if name not in fits),
    )


def layer_of(tensor: str) -> str:
    """``layer1.0.conv1`` of ``layer1.0.conv1.weight``."""
    return tensor.rpartition(".")[0]


def misfits(
    state: Mapping[str, Tensor], offered: Mapping[str, Tensor], why_not: Mapping[str, str]
) -> str:
    """``fc1.weight is 32×784 and the teacher's 128×784`` and so on, for the first few."""

    def mismatch(name: str) -> str:
        there = (
            f"the teacher's {size(offered[name])}" if name in offered else "the teacher has none"
        )
        reason = f" ({why_not[layer_of(name)]})" if layer_of(name) in why_not else ""
        return f"{name} is {size(state[name])} and {there}{reason}"

    wrong = [n for n in state if n not in offered or offered[n].shape != state[n].shape]
    more = f" and {len(wrong) - NAMED} more" if len(wrong) > NAMED else ""
    return ", ".join(map(mismatch, wrong[:NAMED])) + more


def size(tensor: Tensor) -> str:
    return "×".join(map(str, tensor.shape)) or "a number"
