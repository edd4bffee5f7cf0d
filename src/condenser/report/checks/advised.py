"""Checks 12 to 21: what a careful reader will ask for next, so what is missing is a warning."""

from __future__ import annotations

from condenser.records import Value
from condenser.report.checks.evidence import (
    COMPRESSED,
    MASKED,
    NONE,
    OPEN,
    PASS,
    WARN,
    Check,
    Evidence,
    lacking,
    of,
    pair,
    pairs,
    said,
    words,
)
from condenser.report.columns import FILE
from condenser.report.table import Row

MANY, SETS = 20, 3
SMALL = ("digits", "mnist")
LIKENESS = ("test/ece", "teacher/worst_drop", "teacher/agreement")
TIMED = {"hardware": "machine", "latency/runtime": "runtime", "latency/threads": "thread count"}


def top5(e: Evidence) -> Check:
    title = "top-5 where there are many classes"
    classes = max(sum(key.startswith("class/") for key in row.mean) for row in e.rows)
    if not classes:
        return Check(12, title, OPEN, "the records do not say how many classes there are")
    if classes < MANY:
        return Check(12, title, NONE, f"{classes} classes")
    missing = lacking(e.rows, "test/top5")
    if missing:
        return Check(12, title, WARN, f"not in {of(len(missing), len(e.rows))}")
    return Check(12, title, PASS, f"{classes} classes")


def variety(e: Evidence) -> Check:
    title = "3 pairs of data and network or more"
    found = pairs(e.compressed or e.rows)
    small = {str(data) for data, _ in found if data in SMALL}
    flag = f"; {words(small)} is small and easy" if small else ""
    if len(found) < SETS:
        return Check(13, title, WARN, f"{said(found)} only{flag}")
    return Check(13, title, WARN if small else PASS, f"{said(found)}{flag}")


def deployed(e: Evidence) -> Check:
    title = "accuracy measured on the exported file"
    if not e.compressed:
        return Check(14, title, NONE, "nothing is compressed here")
    missing = set(pairs(e.compressed)) - {pair(row) for row in e.exports}
    if missing:
        return Check(14, title, WARN, f"no exported file of {said(missing)}; end with export")
    worst = min((row.mean.get("export/agreement", 0.0) for row in e.exports), default=0.0)
    status = WARN if worst < 0.99 else PASS
    return Check(14, title, status, f"answers agree with torch in {100 * worst:.2f} % or more")


def latency(e: Evidence) -> Check:
    title = "latency with machine, runtime, threads, median and IQR"
    timed = [r for r in e.records() if r.get("latency/ms_b1") is not None]
    if not timed:
        return Check(15, title, NONE, "no latency was measured")
    mixed = [word for key, word in TIMED.items() if len({r.get(key) for r in timed}) > 1]
    if mixed:
        return Check(15, title, WARN, f"measured under more than one {', '.join(mixed)}")
    if any(r.get("latency/iqr_b1") is None for r in timed):
        return Check(15, title, WARN, "times without their interquartile range")
    first = timed[0]
    threads = f"{first.get('latency/threads')} thread"
    where = f"{first.get('latency/runtime')}, {threads}, {first.get('hardware')}"
    return Check(15, title, PASS, f"{where}; whether rounds were interleaved no record says")


def sparsity(e: Evidence) -> Check:
    title = "sparsity read back from the weights, kept by later stages"
    pruned = [row for row in e.rows if "prune/rate" in row.mean and row["stage"] in COMPRESSED]
    if not pruned:
        return Check(16, title, NONE, "nothing is pruned to a rate here")
    own = [row for row in pruned if row["stage"] in MASKED and "prune/achieved" in row.mean]
    off = [r for r in own if abs(r.mean["prune/achieved"] - r.mean["prune/rate"]) > 0.01]
    gaps = [f"{len(off)} pruned rows are more than a point off the rate they were given"] * bool(
        off
    )
    if grown := _grown(e, pruned):
        gaps.append(f"{grown} networks have more non-zero weights than before their last stage")
    if not own:
        gaps.append("no record says what rate was reached")
    return Check(16, title, WARN if gaps else PASS, "; ".join(gaps) or f"{len(own)} rows agree")


def _grown(e: Evidence, pruned: list[Row]) -> int:
    """How many later records have more non-zero weights than the one they were made of."""
    known: dict[Value, float] = {}
    for record in e.records():
        nonzero = record.get("size/nonzero")
        if isinstance(nonzero, int | float) and record.get("key"):
            known[record["key"]] = nonzero
    later = [r for row in pruned if row["stage"] not in MASKED for r in row.records]
    return sum(
        known.get(r.get("key"), 0.0) > known.get(r.get("parent"), float("inf")) for r in later
    )


def denormals(e: Evidence) -> Check:
    title = "no time lost to denormal numbers"
    return Check(17, title, OPEN, "no record says; runs flush them to zero before they train")


def coded(e: Evidence) -> Check:
    title = "bytes of the file to ship and of the packed one"
    if not e.compressed:
        return Check(18, title, NONE, "nothing is compressed here")
    gaps = [
        f"{key} in {of(len(missing), len(e.compressed), 'compressed rows')}"
        for key in (FILE, "size/packed_bytes")
        if (missing := lacking(e.compressed, key))
    ]
    why = "; ".join(gaps) and f"no {'; no '.join(gaps)}"
    return Check(18, title, WARN if gaps else PASS, why or "codebooks, indices and heads included")


def distillation(e: Evidence) -> Check:
    title = "distillation: the teacher's accuracy and cost, and each half alone"
    taught = [row for row in e.rows if row["stage"] == "distill"]
    if not taught:
        return Check(19, title, NONE, "nothing is distilled here")
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
    return Check(19, title, WARN if gaps else PASS, "; ".join(gaps) or said(pairs(taught)))


def likeness(e: Evidence) -> Check:
    title = "calibration, corruption, worst class, agreement with the dense network"
    if not e.compressed:
        return Check(20, title, NONE, "nothing is compressed here")
    gaps = [
        f"{key} in {of(len(missing), len(e.compressed), 'rows')}"
        for key in LIKENESS
        if (missing := lacking(e.compressed, key))
    ]
    if not any("corrupt" in key for row in e.compressed for key in row.mean):
        gaps.append("accuracy on corrupted images")
    return Check(20, title, WARN if gaps else PASS, f"no {'; no '.join(gaps)}" if gaps else "all")


def compute(e: Evidence) -> Check:
    title = "what the whole recipe cost"
    trained = [r for r in e.records() if r.get("cost/epochs") and not r.get("cost/reused")]
    seconds = [
        float(s) for r in trained if isinstance(s := r.get("cost/train_seconds"), int | float)
    ]
    if not seconds:
        return Check(21, title, WARN, "no record says how long anything trained")
    hours = f"{sum(seconds) / 3600:.2f} hours of training in {len(seconds)} stages"
    missing = len(trained) - len(seconds)
    if missing:
        return Check(21, title, WARN, f"{hours}; {missing} stages do not say")
    return Check(21, title, PASS, hours)


CHECKS = (
    *(top5, variety, deployed, latency, sparsity, denormals, coded, distillation, likeness),
    compute,
)
