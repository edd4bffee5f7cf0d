"""Allocate one budget over layers, each of which has several options of a cost and a value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

Choices = tuple[Sequence[int], Sequence[float]]  # what each costs, what each is worth


class Step(NamedTuple):
    """Upgrade of one layer to its next more expensive option on the hull."""

    layer: str
    choice: int
    cost: int
    gain: float


def hull(choices: Choices) -> list[int]:
    """Indices of the options on the upper concave hull, from cheapest to most valuable.

    An option below it is never optimal: a mix of two others gives more for the same cost.
    """
    cost, worth = choices

    def slope(a: int, b: int) -> float:
        return (worth[b] - worth[a]) / (cost[b] - cost[a])

    path: list[int] = []
    for i in sorted(range(len(cost)), key=lambda i: (cost[i], -worth[i])):
        if path and worth[i] <= worth[path[-1]]:
            continue
        while len(path) > 1 and slope(path[-2], i) > slope(path[-2], path[-1]):
            path.pop()
        path.append(i)
    return path


def allocate(layers: Mapping[str, Choices], budget: int) -> dict[str, int]:
    """The option of each layer that maximises total value with total cost within ``budget``.

    Greedy: every layer starts at its cheapest option; then, over all layers, the step along a hull
    with the largest gain per cost is taken, as long as it fits. If no step was skipped because it
    did not fit, no other allocation of that cost has a higher value (Everett).

    Raises:
        ValueError: the cheapest options together exceed the budget.

    Sources: Everett, "Generalized Lagrange Multiplier Method for Solving Problems of Optimum
    Allocation of Resources", 1963, https://doi.org/10.1287/opre.11.3.399; Shoham, Gersho,
    "Efficient bit allocation for an arbitrary set of quantizers", 1988,
    https://doi.org/10.1109/29.90373
    """
    paths = {name: hull(choices) for name, choices in layers.items()}
    chosen = {name: path[0] for name, path in paths.items()}
    left = budget - sum(layers[name][0][i] for name, i in chosen.items())
    if left < 0:
        raise ValueError(f"budget {budget}: must be {budget - left} or more")
    steps = [step for name, path in paths.items() for step in _steps(name, layers[name], path)]
    stuck: set[str] = set()
    # Stable, and slopes fall along a hull: the steps of a layer stay in order.
    for step in sorted(steps, key=lambda step: -step.gain / step.cost):
        if step.cost > left:
            stuck.add(step.layer)
        elif step.layer not in stuck:
            chosen[step.layer] = step.choice
            left -= step.cost
    return chosen


def _steps(name: str, choices: Choices, path: list[int]) -> list[Step]:
    cost, worth = choices
    return [Step(name, b, cost[b] - cost[a], worth[b] - worth[a]) for a, b in pairwise(path)]
