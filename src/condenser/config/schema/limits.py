"""What no value of any setting may be, whichever class it is for."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from condenser.errors import shown

LARGEST = 2**63 - 1  # of torch's integers
SEEDS = 2**32  # numpy's
LETTERS = 4000


def beyond(node: Any, key: str = "") -> Iterator[str]:
    """A line for each value below ``node`` that nothing can work with; ``key`` says where it is."""
    if rule := broken(node, key.rpartition(".")[2]):
        yield f"{key}={shown(node)}: must be {rule}"
    elif isinstance(node, Mapping):
        for word, value in node.items():
            yield from beyond(value, f"{key}.{word}".lstrip("."))
    elif isinstance(node, list | tuple):
        for position, value in enumerate(node):
            yield from beyond(value, f"{key}.{position}")


def broken(value: object, word: str) -> str:
    """The rule that a value breaks, or nothing; ``word`` is the last of its key."""
    if word in ("_partial_", "_recursive_") and not isinstance(value, bool):
        return "true or false"
    if isinstance(value, float) and not math.isfinite(value):
        return "a finite number"
    if isinstance(value, int) and abs(value) > LARGEST:
        return "within ±2^63"
    if word.endswith("seed") and isinstance(value, int) and not 0 <= value < SEEDS:
        return ">= 0 and < 2^32"
    if isinstance(value, str) and (len(value) > LETTERS or "\0" in value):
        return f"at most {LETTERS} characters, none of them NUL"
    return ""
