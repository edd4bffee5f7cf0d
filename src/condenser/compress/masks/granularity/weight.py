"""Unstructured pruning: single weights."""

from __future__ import annotations

from condenser.compress.masks.granularity.base import Granularity


class Weight(Granularity):
    """Every weight is its own group: the smallest network at a given accuracy, in a file that codes
    zeros; no faster on hardware that multiplies them.
    """
