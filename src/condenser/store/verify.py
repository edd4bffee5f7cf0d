"""Verify an entry's bytes against its checksums."""

from __future__ import annotations

from condenser.errors import DamagedError
from condenser.files import read_json, sha256
from condenser.store import checksums
from condenser.store.entries import MODEL, RECORD, WEIGHTS, flaws
from condenser.store.inventory import Kept
from condenser.store.marker import OUTPUTS

INTACT, UNVERIFIED = "intact", "unverified"


def verify(kept: Kept) -> str:
    """``intact``; ``unverified`` if the entry has no checksums and no visible damage; or the damage
    by file."""
    try:
        if kept.stage == "outputs":
            return _outputs(kept)
        if not (kept.folder / checksums.FILE).is_file():
            return _old(kept)
        wrong = flaws(kept.folder) or checksums.unknown(kept.folder)
    except (DamagedError, KeyError, TypeError, AttributeError) as error:
        return f"damaged: {error}"
    return f"damaged: {', '.join(wrong)}" if wrong else INTACT


def _old(kept: Kept) -> str:
    """An entry from before checksums: its model.json holds the hash of the weights."""
    read_json(kept.folder / RECORD)
    weights, expected = kept.folder / WEIGHTS, read_json(kept.folder / MODEL)["weights_sha256"]
    whole = weights.is_file() and sha256(weights) == expected
    return UNVERIFIED if whole else f"damaged: {WEIGHTS} altered"


def _outputs(kept: Kept) -> str:
    """A teacher's outputs: their manifest holds the hash of each array."""
    expected = read_json(kept.folder / OUTPUTS)["sha256"]
    wrong = [
        f"{name}.npy {what}"
        for name, digest in expected.items()
        if (what := checksums.problem(kept.folder, f"{name}.npy", digest))
    ]
    return f"damaged: {', '.join(wrong)}" if wrong else INTACT
