"""What an honest benchmark has and these records lack: 21 checks, and how to read the numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from condenser.report.analysis.checks import advised, required
from condenser.report.analysis.checks.evidence import FAIL, NONE, OPEN, PASS, WARN, Check, Evidence
from condenser.report.analysis.columns import FILE, originals
from condenser.report.analysis.quantities import si
from condenser.report.analysis.table import Row

__all__ = ["FAIL", "NONE", "OPEN", "PASS", "WARN", "Check", "fairness", "notes", "summary"]

SIGNS = {FAIL: "missing", WARN: "look"}


def fairness(rows: Sequence[Row]) -> list[Check]:
    """All checks by number; those that ask what nobody claims here say so."""
    evidence = Evidence.of(rows)
    return [check(evidence) for check in (*required.CHECKS, *advised.CHECKS)]


def notes(rows: Sequence[Row]) -> list[str]:
    """How to read the numbers, then each gap found, a sentence each."""
    found = fairness(rows)
    gaps = [f"{SIGNS[c.status]}: {c.title}: {c.why}" for c in found if c.status in SIGNS]
    return [*reading(rows), *gaps, summary(found)]


def reading(rows: Sequence[Row]) -> list[str]:
    bases = {id(base): base for base in originals(rows) if base}
    names = [
        f"{base['model']} {base['stage']}, {si(base.mean[FILE], 'B')}" for base in bases.values()
    ]
    smaller = [f"ratios: original ÷ new, the original being {'; '.join(names)}"] if names else []
    return [
        "accuracy: test set, epoch chosen on validation, mean ± sample std over n seeds",
        "± 95 %: half the interval of the mean, Student's t; last %: the last epoch's weights",
        *smaller,
        "MACs: multiply-accumulates of one image; KB: 1,000 bytes",
        *behaviour(rows),
        "◆: Pareto front of validation accuracy over file size",
    ]


def behaviour(rows: Sequence[Row]) -> list[str]:
    """How to read what was measured of leakage, where it was."""
    if not any("privacy/loss/auc" in row.mean for row in rows):
        return []
    leaks = (
        "AUC: members of the training set told from others, ½ by chance, a lower bound of leakage"
    )
    cached = (
        "a teacher's cached outputs are a copy of the data's labels: keep them as you keep these"
    )
    return [leaks, cached]


def summary(found: Sequence[Check]) -> str:
    """``checks: 9 pass, 4 warn, 2 fail, …``."""
    counts = Counter(check.status for check in found)
    words = (PASS, WARN, FAIL, OPEN, NONE)
    return "checks: " + ", ".join(f"{counts[word]} {word}" for word in words if counts[word])
