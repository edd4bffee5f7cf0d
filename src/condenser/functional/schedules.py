"""Schedules as pure functions of training progress in [0, 1]."""

from __future__ import annotations

import math
from collections.abc import Sequence


def constant(progress: float) -> float:
    """1 throughout."""
    return 1.0


def cosine(progress: float, floor: float = 0.0, cycles: int = 1) -> float:
    """floor + (1 - floor)·(1 + cos πq)/2, q the progress within one of ``cycles`` equal parts of
    training: it restarts at 1. Source: Loshchilov, Hutter 2017, https://arxiv.org/abs/1608.03983"""
    done = progress if progress >= 1 else progress * cycles % 1
    return floor + (1 - floor) * (1 + math.cos(math.pi * done)) / 2


def linear(progress: float, floor: float = 0.0) -> float:
    """Linear from 1 to floor."""
    return floor + (1 - floor) * (1 - progress)


def multistep(progress: float, milestones: Sequence[float], gamma: float = 0.1) -> float:
    """gamma^(milestones passed): [150, 180, 210] of 240 epochs is
    [0.625, 0.75, 0.875]."""
    return gamma ** sum(progress >= m for m in milestones)


def one_shot(progress: float) -> float:
    """1 from the start: everything before the first step."""
    return 1.0


def ramp(progress: float) -> float:
    """Linear from 0 to 1."""
    return progress


def cubic(progress: float, begin: float = 0.0) -> float:
    """1 - (1 - q)³, q = (p - begin)/(1 - begin): 0 up to ``begin``, in [0, 1), then fast while
    redundancy is high, slow near the end.

    Source: Zhu, Gupta, "To prune, or not to prune", 2017, https://arxiv.org/abs/1710.01878
    """
    return 1 - (1 - max(0.0, (progress - begin) / (1 - begin))) ** 3


def cosine_tail(progress: float, begin: float) -> float:
    """1 up to ``begin``, in [0, 1], then (1 + cos πq)/2 with q = (p - begin)/(1 - begin)."""
    return cosine((progress - begin) / (1 - begin)) if progress > begin else 1.0
