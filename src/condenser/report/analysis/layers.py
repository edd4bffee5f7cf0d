"""What each layer lost and what it costs: rate, bits and bytes, as the records hold them."""

from __future__ import annotations

import re
from collections.abc import Sequence

from condenser.report.analysis.table import Row

# What is shown → (its words, its unit).
METRICS = {
    "gone": ("weights that are gone", "%"),
    "bits": ("bits a stored number", ""),
    "packed": ("bytes in the packed file", "B"),
}


def of(row: Row) -> dict[str, dict[str, float]]:
    """Metric → layer → its mean over seeds; metrics that no record has are not there.

    gone: fraction of the layer's weights that are zero or cut. packed: bytes in the packed file.
    bits: 8 · bytes ÷ numbers stored.
    """
    gone, packed, entries = (_named(row, f"{key}/") for key in ("gone", "packed", "entries"))
    bits = {layer: 8 * packed[layer] / n for layer, n in entries.items() if n and layer in packed}
    found = {"gone": gone, "bits": bits, "packed": packed}
    return {metric: values for metric, values in found.items() if values}


def _named(row: Row, prefix: str) -> dict[str, float]:
    names = sorted((key for key in row.mean if key.startswith(prefix)), key=natural)
    return {key.removeprefix(prefix): row.mean[key] for key in names}


def natural(name: str) -> list[tuple[int, int, str]]:
    """layer2 before layer10, and what is around the layers last."""
    parts = re.split(r"(\d+)", name)
    last = 1 if " " in name else 0
    return [(last, 0, ""), *((0, int(p), "") if p.isdigit() else (1, 0, p) for p in parts if p)]


def known(rows: Sequence[Row]) -> list[int]:
    """Indices of the rows with facts of layers."""
    return [
        i for i, row in enumerate(rows) if any(k.startswith(("gone/", "packed/")) for k in row.mean)
    ]
