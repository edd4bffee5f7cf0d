"""The inventory of a store as text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from condenser.store.inventory import Kept, size

HEADS = ("stage", "key", "model", "test", "bytes", "made", "runs")
MOST_RUNS = 2  # runs named per line


def table(kept: Sequence[Kept]) -> str:
    """One line per entry, below a header."""
    rows = [HEADS, *(row(one) for one in kept)]
    widths = [max(len(cells[i]) for cells in rows) for i in range(len(HEADS))]
    right = {HEADS.index(head) for head in ("test", "bytes")}

    def line(cells: Sequence[str]) -> str:
        padded = (
            cell.rjust(width) if i in right else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(cells, widths, strict=True))
        )
        return "  ".join(padded).rstrip()

    return "\n".join(map(line, rows))


def row(one: Kept) -> tuple[str, ...]:
    named = people(one.runs) or ("–" if one.stage == "outputs" else "no run")
    if flaws := one.flaws:
        named += f"  damaged: {', '.join(flaws)}"
    made = one.made[:16].replace("T", " ")
    return one.stage, one.key, one.model, accuracy(one), f"{one.bytes:,}", made, named


def accuracy(one: Kept) -> str:
    value = one.metrics.get("test/accuracy")
    return f"{value:.2%}" if isinstance(value, int | float) else ""


def people(runs: Sequence[str]) -> str:
    """``demo/default, demo/seed=1 and 3 more``."""
    more = len(runs) - MOST_RUNS
    return ", ".join(runs[:MOST_RUNS]) + (f" and {more} more" if more > 0 else "")


def totals(kept: Sequence[Kept], left: Sequence[Path]) -> str:
    """Total size, size not referenced by any run, and leftovers of killed runs."""
    unused = [one for one in kept if not one.runs and one.stage != "outputs"]
    lines = [f"{len(kept)} entries, {sum(one.bytes for one in kept):,} bytes"]
    if unused:
        lines.append(f"no run names {len(unused)}, {sum(one.bytes for one in unused):,} bytes")
    if left:
        what = f"{len(left)}, {sum(map(size, left)):,} bytes"
        lines.append(f"left by runs that stopped, or damaged: {what}")
    return "\n".join(lines)


def page(one: Kept, kept: Sequence[Kept], state: str) -> str:
    """Everything known about an entry."""
    head = f"{one.name}  {one.model}  {accuracy(one)}  {one.bytes:,} bytes  {one.made}  {state}"
    parts = {
        "runs": [*one.runs] or ["none"],
        "lineage": [*lineage(one, {other.key: other for other in kept})] or ["none: it is a start"],
        "settings": settings(one) or ["not kept, and no run's record names the entry"],
        "facts": [f"{key} = {shown(value)}" for key, value in sorted(one.metrics.items())],
        "files": [f"{path.name}  {size(path):,} bytes" for path in sorted(one.folder.iterdir())],
    }
    lines = [head]
    for title, inside in parts.items():
        lines += ["", title, *(f"  {line}" for line in inside)]
    return "\n".join(lines)


def lineage(
    one: Kept, by_key: Mapping[str, Kept], indent: str = "", said: set[str] | None = None
) -> Iterator[str]:
    """The models it was derived from, each once, followed by their own parents."""
    said = set() if said is None else said
    for role, keys in one.lineage.items():
        for key in [key for key in keys if key and key not in said]:
            said.add(key)
            before = by_key.get(key)
            if before is None:
                yield f"{indent}{role}  {key}  (not in the store)"
                continue
            yield f"{indent}{role}  {before.name}  {before.model}  {accuracy(before)}".rstrip()
            yield from lineage(before, by_key, indent + "  ", said)


def settings(one: Kept) -> list[str]:
    """Its settings: its own ingredients, or else those in a run's record."""
    if one.ingredients:
        beside = ("parent", "teacher", "stage")
        known = {k: v for k, v in one.ingredients.items() if k not in beside}
        known |= known.pop("settings", {})
        return [f"{key} = {shown(value)}" for key, value in sorted(leaves(known))]
    record = one.use.record
    mine = ("seed", *(key for key in record if key.startswith(f"{one.stage}/")))
    return [f"{key} = {shown(record[key])}" for key in mine if key in record]


def leaves(node: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    """Each setting below the node by its dotted path."""
    for key, value in node.items():
        if isinstance(value, Mapping):
            yield from leaves(value, f"{path}{key}.")
        elif value is not None:
            yield f"{path}{key}", value


def shown(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def verdict(count: int, old: int, damaged: int) -> str:
    """``12 entries: 9 intact, 2 unverified (without checksums: not used), 1 damaged``."""
    said = [f"{count - old - damaged} intact"]
    said += [f"{old} unverified (without checksums: not used)"] if old else []
    said += [f"{damaged} damaged"] if damaged else []
    return f"{count} entries: {', '.join(said)}"
