"""Where labels go: beside their point, over nothing else. Plain geometry, no plotting."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

Point = tuple[float, float]
RINGS, STEP, DIRECTIONS = 20, 9.0, 24  # where a label may stand: how far out, how densely around


class Box(NamedTuple):
    """A rectangle; lengths in any one unit, here typographic points."""

    left: float
    bottom: float
    right: float
    top: float

    def within(self, other: Box) -> bool:
        return (
            self.left >= other.left
            and self.right <= other.right
            and self.bottom >= other.bottom
            and self.top <= other.top
        )

    def nearest(self, point: Point) -> Point:
        """The point of the box closest to the given one."""
        x, y = point
        return min(max(x, self.left), self.right), min(max(y, self.bottom), self.top)


def shared(boxes: Sequence[Box] | np.ndarray, others: Sequence[Box] | np.ndarray) -> np.ndarray:
    """The areas that each box shares with each of the others: (boxes, others)."""
    left, bottom, right, top = np.asarray(boxes, float).reshape(-1, 1, 4).transpose(2, 0, 1)
    to_left, to_bottom, to_right, to_top = np.asarray(others, float).reshape(-1, 4).T
    width = np.minimum(right, to_right) - np.maximum(left, to_left)
    height = np.minimum(top, to_top) - np.maximum(bottom, to_bottom)
    return np.clip(width, 0, None) * np.clip(height, 0, None)


def place(
    points: Sequence[Point],
    sizes: Sequence[Point],
    bounds: Box,
    solid: Sequence[Box],
    soft: Sequence[Box] = (),
    gap: float = 8.0,
) -> list[Box | None]:
    """A box of the given size (width, height) for each point, or None where there is no room.

    Boxes stay in bounds, off each other and off what is solid; of the places left, the one nearest
    its point that covers least of what is soft (lines, error bars) is taken, point after point.
    Leaders, the straight lines from points to their boxes, and boxes keep off each other too.
    """
    fixed, lines = np.array(solid, float).reshape(-1, 4), np.array(soft, float).reshape(-1, 4)
    boxes: list[Box] = []
    leaders: list[Box] = []
    placed: list[Box | None] = []
    for point, size in zip(points, sizes, strict=True):
        best: tuple[float, Box] | None = None
        for distance, box in _candidates(point, size, gap):
            if best is not None and distance >= best[0]:
                break
            leader = _leader(point, box, gap)
            taken = shared([box], fixed), shared([box, *leader], boxes), shared([box], leaders)
            if not box.within(bounds) or any(areas.any() for areas in taken):
                continue
            crossed = shared(leader, leaders).any(1) | shared(leader, fixed).any(1)
            hidden = shared([box], lines).sum()
            cost = distance + 8.0 * crossed.sum() + 5.0 * math.sqrt(hidden)
            if best is None or cost < best[0]:
                best = cost, box
        placed.append(best[1] if best else None)
        if best:
            boxes.append(best[1])
            leaders += _leader(point, best[1], gap)
    return placed


def _candidates(point: Point, size: Point, gap: float) -> Iterator[tuple[float, Box]]:
    """Boxes around the point, nearest first, each with its distance from the point."""
    (x, y), (width, height) = point, size
    for ring in range(RINGS):
        reach = gap + STEP * ring
        for direction in range(DIRECTIONS):
            angle = 2 * math.pi * direction / DIRECTIONS
            # The side of the box that faces the point stands on the ring.
            left = x + reach * math.cos(angle) - width * (1 - math.cos(angle)) / 2
            bottom = y + reach * math.sin(angle) - height * (1 - math.sin(angle)) / 2
            yield reach, Box(left, bottom, left + width, bottom + height)


def _leader(point: Point, box: Box, gap: float) -> list[Box]:
    """The leader as small boxes, without its first piece, which the point's own marker covers."""
    (x, y), (to_x, to_y) = point, box.nearest(point)
    count = int(math.hypot(to_x - x, to_y - y) // (gap / 2))
    centres = [(x + (to_x - x) * i / count, y + (to_y - y) * i / count) for i in range(2, count)]
    return [Box(cx - 1.5, cy - 1.5, cx + 1.5, cy + 1.5) for cx, cy in centres]
