"""A shallower student inherits every k-th block of its teacher."""

from __future__ import annotations

import copy
from dataclasses import replace
from itertools import groupby
from typing import ClassVar

from torch import Tensor, nn

from condenser.errors import ConfigError
from condenser.inherit.base import Inheritance, Inherited
from condenser.inherit.matching import Matching

LISTS = (nn.Sequential, nn.ModuleList)


class Blocks(Inheritance):
    """Drop blocks of the teacher until it is as deep as the student, then inherit from that.

    Of n equal blocks in a row, of which the student has m under the same name, block
    round(i·(n-1)/(m-1)) becomes block i = 0 … m-1: the first, the last, and equal steps between
    them (of 12: 0, 2, 4, 7, 9, 11 as in DistilBERT); the first alone if m = 1.

    Args:
        then: the inheritance from the shallower teacher: tensors that match if none is given,
            Channels for a student that is narrower, too.

    Raises:
        ConfigError: ``then`` is not an inheritance; what it raises itself.

    Source: Sanh et al., DistilBERT, 2019, https://arxiv.org/abs/1910.01108
    """

    word: ClassVar[str] = "blocks"

    def __init__(self, then: Inheritance | None = None) -> None:
        self.then = Matching() if then is None else then
        if not isinstance(self.then, Inheritance):
            raise ConfigError(
                "distill.inherit.then", then, "null, or an inheritance of conf/inherit"
            )

    def __call__(self, student: nn.Module, teacher: nn.Module, image: Tensor) -> Inherited:
        shallow = copy.deepcopy(teacher)
        before = {module: name for name, module in shallow.named_modules(remove_duplicate=False)}
        shorten(shallow, student)
        now = shallow.named_modules(remove_duplicate=False)
        names = {name: before[module] for name, module in now}
        done = self.then(student, shallow, image)
        return replace(done, layers={ours: names[layer] for ours, layer in done.layers.items()})


def shorten(teacher: nn.Module, student: nn.Module) -> None:
    """Drop blocks in place, in every list of blocks that both networks have."""
    if isinstance(teacher, LISTS) and isinstance(student, LISTS):
        kept = chosen([*teacher], [*student])
        if kept is not None:
            teacher._modules = dict(zip(student._modules, kept, strict=True))
    for name, child in teacher.named_children():
        if name in student._modules and (ours := student._modules[name]) is not None:
            shorten(child, ours)


def chosen(teacher: list[nn.Module], student: list[nn.Module]) -> list[nn.Module] | None:
    """The teacher's blocks for the student's, if both have the same kinds of blocks in a row."""
    theirs, ours = runs(teacher), runs(student)
    fits = [type(run[0]) for run in theirs] == [type(run[0]) for run in ours] and all(
        len(long) >= len(short) for long, short in zip(theirs, ours, strict=True)
    )
    if not fits:
        return None
    pairs = zip(theirs, ours, strict=True)
    return [run[i] for run, short in pairs for i in places(len(run), len(short))]


def runs(blocks: list[nn.Module]) -> list[list[nn.Module]]:
    """Consecutive blocks of the same class."""
    return [list(run) for _, run in groupby(blocks, key=type)]


def places(total: int, count: int) -> list[int]:
    """``count`` of 0 … total-1 in equal steps from the first to the last; halves go up."""
    return [(2 * i * (total - 1) + count - 1) // (2 * max(count - 1, 1)) for i in range(count)]
