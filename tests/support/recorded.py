"""Records of stages that nobody ran, from flat facts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from condenser.runs.records import Record

KINDS = {
    "prune": "masks",
    "cut": "rebuilds",
    "share": "codes",
    "quantize": "codes",
    "export": "exports",
    "baseline": "baseline",
}
SECTIONS = {"teacher", "student", "distill", "prune", "cut", "share", "quantize", "baseline"}
MEASURED = {"accuracy", "achieved", "agreement", "worst_drop"}


def recorded(found: Mapping[str, Any]) -> Record:
    """What a stage's section holds is a setting, but for what is measured under its name."""
    settings = [
        key
        for key in found
        if key.partition("/")[0] in SECTIONS and key.rpartition("/")[2] not in MEASURED
    ]
    return Record({"kind": KINDS.get(found.get("stage", ""), "trains")} | dict(found), settings)
