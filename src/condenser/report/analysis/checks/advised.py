"""Checks 12 to 21: what a careful reader will ask for next, so what is missing is a warning."""

from __future__ import annotations

from condenser.report.analysis.checks.evidence import (
    COMPRESSES,
    MASKS,
    NONE,
    OPEN,
    PASS,
    UNCOMPRESSED,
    WARN,
    Evidence,
    Verdict,
    asks,
    gaps_in,
    lacking,
    of,
    pair,
    pairs,
    said,
    words,
)
from condenser.report.analysis.columns import FILE
from condenser.report.analysis.table import Row
from condenser.runs.records import Value

MANY, SETS = 20, 3
FEW = 1000  # samples, of which 0.1 % are one
SMALL = ("digits", "mnist")
LIKENESS = ("test/ece", "teacher/worst_drop", "teacher/agreement")
TIMED = {"hardware": "machine", "latency/runtime": "runtime", "latency/threads": "thread count"}


@asks(12, "top-5 where there are many classes")
def top5(e: Evidence) -> Verdict:
    classes = max(sum(key.startswith("class/") for key in row.mean) for row in e.rows)
    if not classes:
        return OPEN, "the records do not say how many classes there are"
    if classes < MANY:
        return NONE, f"{classes} classes"
    missing = lacking(e.rows, "test/top5")
    if missing:
        return WARN, f"not in {of(len(missing), len(e.rows))}"
    return PASS, f"{classes} classes"


@asks(13, "3 pairs of data and network or more")
def variety(e: Evidence) -> Verdict:
    found = pairs(e.compressed or e.rows)
    small = {str(data) for data, _ in found if data in SMALL}
    flag = f"; {words(small)} is small and easy" if small else ""
    if len(found) < SETS:
        return WARN, f"{said(found)} only{flag}"
    return WARN if small else PASS, f"{said(found)}{flag}"


@asks(14, "accuracy measured on the exported file")
def deployed(e: Evidence) -> Verdict:
    if not e.compressed:
        return UNCOMPRESSED
    missing = set(pairs(e.compressed)) - {pair(row) for row in e.exports}
    if missing:
        return WARN, f"no exported file of {said(missing)}; end with export"
    worst = min((row.mean.get("export/agreement", 0.0) for row in e.exports), default=0.0)
    status = WARN if worst < 0.99 else PASS
    return status, f"answers agree with torch in {100 * worst:.2f} % or more"


@asks(15, "latency with machine, runtime, threads, median and IQR")
def latency(e: Evidence) -> Verdict:
    timed = [r for r in e.records() if r.get("latency/ms_b1") is not None]
    if not timed:
        return NONE, "no latency was measured"
    mixed = [word for key, word in TIMED.items() if len({r.get(key) for r in timed}) > 1]
    if mixed:
        return WARN, f"measured under more than one {', '.join(mixed)}"
    if any(r.get("latency/iqr_b1") is None for r in timed):
        return WARN, "times without their interquartile range"
    first = timed[0]
    threads = f"{first.get('latency/threads')} thread"
    where = f"{first.get('latency/runtime')}, {threads}, {first.get('hardware')}"
    return PASS, f"{where}; whether rounds were interleaved no record says"


@asks(16, "sparsity read back from the weights, kept by later stages")
def sparsity(e: Evidence) -> Verdict:
    pruned = [row for row in e.rows if "prune/rate" in row.mean and row["kind"] in COMPRESSES]
    if not pruned:
        return NONE, "nothing is pruned to a rate here"
    own = [row for row in pruned if row["kind"] == MASKS and "prune/achieved" in row.mean]
    off = [r for r in own if abs(r.mean["prune/achieved"] - r.mean["prune/rate"]) > 0.01]
    gaps = [f"{len(off)} pruned rows are more than a point off the rate they were given"] * bool(
        off
    )
    if grown := _grown(e, pruned):
        gaps.append(f"{grown} networks have more non-zero weights than before their last stage")
    if not own:
        gaps.append("no record says what rate was reached")
    return WARN if gaps else PASS, "; ".join(gaps) or f"{len(own)} rows agree"


def _grown(e: Evidence, pruned: list[Row]) -> int:
    """How many later records have more non-zero weights than the one they were made of."""
    known: dict[Value, float] = {}
    for record in e.records():
        nonzero = record.get("size/nonzero")
        if isinstance(nonzero, int | float) and record.get("key"):
            known[record["key"]] = nonzero
    later = [r for row in pruned if row["kind"] != MASKS for r in row.records]
    return sum(
        known.get(r.get("key"), 0.0) > known.get(r.get("parent"), float("inf")) for r in later
    )


@asks(17, "no time lost to denormal numbers")
def denormals(e: Evidence) -> Verdict:
    return OPEN, "no record says; runs flush them to zero before they train"


@asks(18, "bytes of the file to ship and of the packed one")
def coded(e: Evidence) -> Verdict:
    if not e.compressed:
        return UNCOMPRESSED
    gaps = gaps_in(e.compressed, (FILE, "size/packed_bytes"), "compressed rows")
    return no(gaps) if gaps else (PASS, "codebooks, indices and heads included")


@asks(19, "distillation: the teacher's accuracy and cost, and each half alone")
def distillation(e: Evidence) -> Verdict:
    taught = [row for row in e.rows if row["stage"] == "distill"]
    if not taught:
        return NONE, "nothing is distilled here"
    gaps = []
    if lacking(taught, "teacher/accuracy"):
        gaps.append("the teacher's accuracy")
    teachers = [row for row in e.rows if row["stage"] == "teacher"]
    if not any("cost/train_seconds" in row.mean for row in teachers):
        gaps.append("what the teacher cost")
    alone = {pair(row) for row in e.rows if row["stage"] == "student"}
    if missing := set(pairs(taught)) - alone:
        gaps.append(f"{said(missing)} without a teacher")
    after = [r for r in e.compressed if r["distill/method"] is not None]
    only = {pair(row) for row in e.compressed if row["distill/method"] is None}
    if missing := set(pairs(after)) - only:
        gaps.append(f"compression without distillation of {said(missing)}")
    return WARN if gaps else PASS, "; ".join(gaps) or said(pairs(taught))


@asks(20, "calibration, corruption, worst class, agreement with the dense network")
def likeness(e: Evidence) -> Verdict:
    if not e.compressed:
        return UNCOMPRESSED
    gaps = gaps_in(e.compressed, LIKENESS)
    if lacking(e.compressed, "robustness/accuracy"):
        gaps.append("accuracy on corrupted images")
    if any(row.mean.get("privacy/others", FEW) < FEW for row in e.rows):
        gaps.append(f"rate at 0.1 % false positives: fewer than {FEW:,} samples were no members")
    return no(gaps) if gaps else (PASS, "all")


@asks(21, "what the whole recipe cost")
def compute(e: Evidence) -> Verdict:
    trained = [r for r in e.records() if r.get("cost/epochs") and not r.get("cost/reused")]
    seconds = [
        float(s) for r in trained if isinstance(s := r.get("cost/train_seconds"), int | float)
    ]
    if not seconds:
        return WARN, "no record says how long anything trained"
    hours = f"{sum(seconds) / 3600:.2f} hours of training in {len(seconds)} stages"
    missing = len(trained) - len(seconds)
    if missing:
        return WARN, f"{hours}; {missing} stages do not say"
    return PASS, hours


def no(gaps: list[str]) -> Verdict:
    return WARN, f"no {'; no '.join(gaps)}"


CHECKS = (
    *(top5, variety, deployed, latency, sparsity, denormals, coded, distillation, likeness),
    compute,
)
