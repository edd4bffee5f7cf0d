"""Where labels go: beside their point, over nothing else. Plain geometry in pixels, no plotting."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple


class Box(NamedTuple):
    left: float
    bottom: float
    right: float
    top: float

    def overlap(self, other: Box) -> float:
        """Area shared with the other box."""
        width = min(self.right, other.right) - max(self.left, other.left)
        height = min(self.top, other.top) - max(self.bottom, other.bottom)
        return max(width, 0.0) * max(height, 0.0)

    def within(self, other: Box) -> bool:
        return (
            self.left >= other.left
            and self.right <= other.right
            and self.bottom >= other.bottom
            and self.top <= other.top
        )

    def nearest(self, x: float, y: float) -> tuple[float, float]:
        """The point of the box closest to (x, y)."""
        return min(max(x, self.left), self.right), min(max(y, self.bottom), self.top)


def place(
    points: Sequence[tuple[float, float]],
    sizes: Sequence[tuple[float, float]],
    bounds: Box,
    solid: Sequence[Box],
    soft: Sequence[Box] = (),
    gap: float = 8.0,
) -> list[Box | None]:
    """A box of the given size for each point, or None where there is no room for it.

    Boxes stay in bounds, off each other and off what is solid; of the places left, the one nearest its
    point that covers least of what is soft (lines, error bars) is taken, in the order of the points.
    Leaders, the straight lines from points to their boxes, do not run through earlier boxes.
    """
    taken = list(solid)
    leaders: list[Box] = []
    placed: list[Box | None] = []
    for (x, y), size in zip(points, sizes, strict=True):
        best: tuple[float, Box] | None = None
        for distance, box in _candidates(x, y, size, gap):
            if best is not None and distance >= best[0]:
                break
            if not box.within(bounds) or any(box.overlap(other) for other in taken):
                continue
            leader = _dots(x, y, box, gap)
            crossed = sum(dot.overlap(b) > 0 for dot in leader for b in placed if b)
            hidden = sum(box.overlap(line) for line in (*soft, *leaders))
            cost = distance + 60.0 * bool(crossed) + 5.0 * math.sqrt(hidden)
            if best is None or cost < best[0]:
                best = cost, box
        placed.append(best[1] if best else None)
        if best:
            taken.append(best[1])
            leaders += _dots(x, y, best[1], gap)
    return placed


def _candidates(
    x: float, y: float, size: tuple[float, float], gap: float
) -> list[tuple[float, Box]]:
    """Boxes around the point, nearest first, each with its distance from the point."""
    width, height = size
    found = []
    for ring in range(16):
        for step in range(24):
            angle = 2 * math.pi * step / 24
            reach = gap + 9.0 * ring
            dx, dy = reach * math.cos(angle), reach * math.sin(angle)
            # The side of the box that faces the point stands on the ring.
            left = x + dx - width * (1 - math.cos(angle)) / 2
            bottom = y + dy - height * (1 - math.sin(angle)) / 2
            found.append((reach, Box(left, bottom, left + width, bottom + height)))
    return found


def _dots(x: float, y: float, box: Box, gap: float) -> list[Box]:
    """The leader as small boxes, without its ends."""
    to_x, to_y = box.nearest(x, y)
    count = int(math.hypot(to_x - x, to_y - y) // gap)
    parts = [(i + 0.5) / count for i in range(count)]
    centres = [(x + t * (to_x - x), y + t * (to_y - y)) for t in parts]
    return [Box(cx - 1, cy - 1, cx + 1, cy + 1) for cx, cy in centres]
