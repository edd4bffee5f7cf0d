"""What an objective is called in records: as its file in conf/distill."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import Any

from condenser.files import CONF

TARGET = re.compile(r"_target_: condenser\.distill\.(\w+)")
TERM = re.compile(r"distill/terms/[^/]+/objective")
Classes = tuple[str, ...]


def objective_name(settings: Mapping[str, Any]) -> str:
    """``pkt`` of a Sum of Labels and PKT; the class's own name where conf/distill has no such."""
    terms = [str(value) for key, value in settings.items() if TERM.fullmatch(key)]
    method = str(settings["distill/method"])
    return shipped().get(tuple(sorted([method, *terms])), method)


@cache
def shipped() -> dict[Classes, str]:
    """The classes of each objective in conf/distill → its name."""
    files = sorted((CONF / "distill").glob("*.yaml"))
    return {
        tuple(sorted(TARGET.findall(file.read_text(encoding="utf-8")))): file.stem for file in files
    }
