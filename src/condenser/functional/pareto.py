"""Pareto front of size against accuracy."""

from __future__ import annotations

from collections.abc import Sequence


def front(sizes: Sequence[float], accuracies: Sequence[float]) -> list[int]:
    """Indices of the points that no other point dominates, smallest size first.

    j dominates i when sizeⱼ ≤ sizeᵢ and accuracyⱼ ≥ accuracyᵢ with at least one of them strict, so
    equal points stay together. Sizes and accuracies are finite and in any unit; O(n log n).
    """
    order = sorted(range(len(sizes)), key=lambda i: (sizes[i], -accuracies[i]))
    kept: list[int] = []
    for i in order:
        best = kept[-1] if kept else None
        if (
            best is None
            or accuracies[i] > accuracies[best]
            or ((sizes[i], accuracies[i]) == (sizes[best], accuracies[best]))
        ):
            kept.append(i)
    return kept
