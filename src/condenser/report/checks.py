"""What an honest benchmark has and these records lack; the report says so under its table."""

from __future__ import annotations

from collections.abc import Sequence

from condenser.report.columns import FILE, originals
from condenser.report.quantities import si
from condenser.report.table import Row

DENSE = ("teacher", "student", "distill")
COMPRESSED = ("prune", "share", "factorize", "quantize")


def notes(rows: Sequence[Row]) -> list[str]:
    """How to read the numbers, then each gap found, a sentence each."""
    found = [_reading(rows), _repeats(rows), _controls(rows), _points(rows)]
    return [*(note for notes_ in found for note in notes_), *_criteria(rows), *_places(rows)]


def _reading(rows: Sequence[Row]) -> list[str]:
    bases = {id(base): base for base in originals(rows) if base}
    names = [
        f"{base['model']} {base['stage']}, {si(base.mean[FILE], 'B')}" for base in bases.values()
    ]
    smaller = [f"smaller: original ÷ new, the original being {'; '.join(names)}"] if names else []
    return [
        "accuracy: test set, epoch chosen on validation, mean ± sample std over n seeds",
        *smaller,
        "MACs: multiply-accumulates of one image; KB: 1,000 bytes; ◆: Pareto front of file size",
    ]


def _repeats(rows: Sequence[Row]) -> list[str]:
    few = [row for row in rows if row.n < 3]
    if not few:
        return []
    return [f"missing: 3 seeds; {len(few)} of {len(rows)} rows have fewer (n=1 has no ±)"]


def _controls(rows: Sequence[Row]) -> list[str]:
    """A compressed accuracy means nothing without the dense one of the same model beside it."""
    dense = {(row["data"], row["model"]) for row in rows if row["stage"] in DENSE}
    models = {(row["data"], row["model"]) for row in rows if row["stage"] in COMPRESSED}
    missing = sorted(models - dense, key=str)
    return [f"missing: the dense {model} on {data}" for data, model in missing]


def _points(rows: Sequence[Row]) -> list[str]:
    compressed = [row for row in rows if row["stage"] in COMPRESSED]
    sizes = {row.mean[FILE] for row in compressed if FILE in row.mean}
    if not compressed or len(sizes) >= 5:
        return []
    return [f"missing: 5 operating points; the compressed models have {len(sizes)} sizes"]


def _criteria(rows: Sequence[Row]) -> list[str]:
    """A pruning criterion is worth what it gains over random and over magnitude."""
    pruned = [r for r in rows if r["stage"] == "prune"]
    text = " ".join(str(v) for r in pruned for k, v in r.records[0].items() if k[:6] == "prune/")
    text += " random" * any(r["control/kind"] == "random" for r in rows)
    missing = [word for word in ("random", "magnitude") if pruned and word not in text.lower()]
    claimed = [r for r in pruned if {"prune/achieved", "prune/rate"} <= r.mean.keys()]
    off = sum(abs(r.mean["prune/achieved"] - r.mean["prune/rate"]) > 0.01 for r in claimed)
    wrong = [f"look: {off} pruned rows are more than a point off the rate they were given"]
    return [*(f"missing: {word} pruning as a control" for word in missing), *(wrong if off else [])]


def _places(rows: Sequence[Row]) -> list[str]:
    """Latency compares only where it was measured alike."""
    timed = [r for row in rows for r in row.records if r.get("latency/ms_b1") is not None]
    words = {"hardware": "machine", "latency/runtime": "runtime", "latency/threads": "thread count"}
    mixed = [word for key, word in words.items() if len({r.get(key) for r in timed}) > 1]
    return [f"look: latency was measured under more than one {', '.join(mixed)}"] if mixed else []
