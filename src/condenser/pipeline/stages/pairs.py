"""Which kind of stage may follow which on one network, and what becomes of what was made.

One table, read by the plan. A row is an earlier stage, a column a later one:

kept: what the earlier one made is still there afterwards: zeros, values, shapes, ranks, bits.
apart: the same, as the later one leaves alone the layers that the earlier one claims; refused
    where that leaves none.
A letter: refused, for the reason below.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from condenser.errors import UnknownError

TABLE = """
                prune regrow rewind sparse cut  merge factorize share across tune budget quantize mixed export
prune           kept  kept   kept   kept   kept kept  apart     kept  kept   kept kept   kept     kept  kept
regrow          kept  kept   kept   kept   kept kept  apart     kept  kept   kept kept   kept     kept  kept
rewind          kept  kept   kept   kept   kept kept  apart     kept  kept   kept kept   kept     kept  kept
sparse          kept  kept   kept   kept   kept kept  kept      kept  kept   kept kept   kept     kept  kept
cut             kept  kept   a      kept   kept kept  kept      kept  kept   kept kept   kept     kept  kept
merge           kept  kept   a      kept   kept kept  kept      kept  kept   kept kept   kept     kept  kept
factorize       kept  kept   a      kept   kept kept  b         kept  kept   kept kept   kept     kept  kept
share           kept  c      d      e      kept f     apart     kept  kept   kept kept   kept     kept  kept
across          kept  c      d      e      kept f     apart     g     kept   kept kept   kept     h     kept
tune            kept  kept   kept   kept   kept kept  kept      kept  kept   kept kept   kept     kept  kept
quantize        q     q      q      q      q    q     q         q     q      q    q      r        r     kept
mixed           q     q      q      q      q    q     q         q     q      q    q      r        r     kept
export          kept  kept   kept   kept   kept kept  kept      kept  kept   kept kept   kept     kept  kept
"""  # noqa: E501
REASONS = {
    "a": "goes back to first weights, whose shapes {earlier} has changed; put it before {earlier}",
    "b": "the layers are products already; give the one factorize fewer ranks",
    "c": "weights that grow back are of no codebook; put it before share, or set regrow=0",
    "d": "goes back to first weights, which are of no codebook; put it before share",
    "e": "moves weights of one value apart; put it before share",
    "f": "adds up weights, and sums are of no codebook; put it before share",
    "g": "would make several codebooks of one; set share.across in both, or leave one out",
    "h": "gives layers bits of their own, and one codebook has one grid; set quantize.budget=null",
    "q": "trains a quantised model; put it before quantize",
    "r": "the model is quantised already; quantise it once",
}


def table() -> dict[str, dict[str, str]]:
    """earlier → later → kept, apart, or the letter of a reason."""
    head, *rows = (line.split() for line in TABLE.strip().splitlines())
    return {earlier: dict(zip(head, verdicts, strict=True)) for earlier, *verdicts in rows}


PAIRS = table()


def row_of(word: str, settings: Mapping[str, Any], variants: Mapping[str, str]) -> str:
    """The row and column of a stage; a class from outside may name its own by ``kind``.

    Args:
        variants: setting → the row where it is set.

    Raises:
        UnknownError: a kind that the table does not have.
    """
    target = str(settings.get("_target_", ""))
    if not target.startswith("condenser.") and (own := declared(target, word)):
        return own
    return next((kind for key, kind in variants.items() if settings.get(key)), word)


def declared(target: str, word: str) -> str:
    """What a class from outside says of itself; nothing, if it cannot be found: that is said
    where it is built."""
    if not target:
        return ""
    module, _, name = target.rpartition(".")
    try:
        kind = str(getattr(getattr(import_module(module), name), "kind", "") or "")
    except Exception:  # whatever its module does when it is imported
        return ""
    if kind and kind not in PAIRS:
        raise UnknownError(f"{word}.{target}.kind", kind, PAIRS)
    return kind


def verdict(earlier: str, later: str) -> str:
    """kept or apart; what the table does not know is kept, or else its stage fails at its end."""
    return PAIRS.get(earlier, {}).get(later, "kept")


def refusal(earlier: str, later: str, word: str) -> str:
    """Why ``later`` cannot follow ``earlier``, whose word is given; empty, if it can."""
    return REASONS.get(verdict(earlier, later), "").format(earlier=word)
