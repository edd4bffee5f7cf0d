"""Checks 1 to 11: without these a comparison shows nothing, so what is missing is a failure."""

from __future__ import annotations

from condenser.report.analysis.checks.evidence import (
    FAIL,
    MASKS,
    NONE,
    PASS,
    REBUILDS,
    UNCOMPRESSED,
    WARN,
    Evidence,
    Pair,
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
from condenser.report.analysis.columns import ACCURACY, FILE
from condenser.report.analysis.table import Row

POINTS, VISIBLE, SEEDS = 5, 0.01, 3
COSTS = ("size/params", FILE, "compute/macs")
TRAINING = ("optim/epochs", "optim/schedule", "optim/lr", "optim/batch_size")


@asks(1, "the dense network's accuracy beside it")
def dense(e: Evidence) -> Verdict:
    if not e.compressed:
        return UNCOMPRESSED
    missing = set(pairs(e.compressed)) - {pair(row) for row in e.dense if ACCURACY in row.mean}
    if missing:
        return FAIL, f"the dense {said(missing)}"
    commits = {r.get("commit") for row in (*e.dense, *e.compressed) for r in row.records}
    if len(commits) > 1:
        return WARN, f"measured by several commits: {words(commits)}"
    return PASS, said(pairs(e.compressed))


@asks(2, "parameters, bytes, MACs and latency, each with its ratio")
def costs(e: Evidence) -> Verdict:
    if not e.compressed:
        return UNCOMPRESSED
    if gaps := gaps_in(e.compressed, COSTS, "compressed rows"):
        return FAIL, "; ".join(gaps)
    if any(e.base(row) is None for row in e.compressed):
        return FAIL, "an original to which a ratio could be"
    if untimed := lacking(e.compressed, "latency/ms_b1"):
        where = of(len(untimed), len(e.compressed), "compressed rows")
        return WARN, f"no latency in {where}; export them to have it"
    return PASS, "every compressed row has all four"


@asks(3, "MACs of the graph as it is, those of zeros apart")
def macs(e: Evidence) -> Verdict:
    if not e.compressed:
        return UNCOMPRESSED
    if lacking(e.compressed, "compute/nonzero_macs"):
        return FAIL, "non-zero MACs in a column of their own"
    whole = []
    for row in e.compressed:
        base, own = e.base(row), row.mean.get("compute/macs", 0.0)
        if row["stage"] == "cut" and base and own >= base.mean.get("compute/macs", float("inf")):
            whole.append(row)
    if whole:
        return FAIL, f"{len(whole)} cut networks have no fewer MACs than before"
    return PASS, "original ÷ new; counted on the network that runs"


@asks(4, "5 sizes or more, into visible loss")
def points(e: Evidence) -> Verdict:
    if not e.compressed:
        return UNCOMPRESSED
    few: dict[Pair, int] = {}
    flat: list[Pair] = []
    for here in pairs(e.compressed):
        own = [row for row in e.compressed if pair(row) == here and FILE in row.mean]
        sizes = {row.mean[FILE] for row in own}
        lost = [
            base.mean[ACCURACY] - row.mean[ACCURACY]
            for row in own
            if (base := e.base(row)) and ACCURACY in row.mean and ACCURACY in base.mean
        ]
        if len(sizes) < POINTS:
            few[here] = len(sizes)
        elif max(lost, default=0.0) < VISIBLE:
            flat.append(here)
    if few:
        counts = ", ".join(f"{said([here])} has {count}" for here, count in few.items())
        return FAIL, f"5 operating points; {counts}"
    if flat:
        return FAIL, f"no loss of a point is reached by {said(flat)}"
    return PASS, f"every network has {POINTS} or more"


@asks(5, "3 seeds or more, mean ± sample std")
def seeds(e: Evidence) -> Verdict:
    few = [row for row in e.rows if row.n < SEEDS]
    if few:
        ones = sum(row.n == 1 for row in few)
        alone = f"; a single seed, so no std, in {ones}" if ones else ""
        return FAIL, f"fewer than {SEEDS} seeds in {of(len(few), len(e.rows))}{alone}"
    return PASS, f"every row has {min(row.n for row in e.rows)} seeds or more"


@asks(6, "the same amount removed at random")
def at_random(e: Evidence) -> Verdict:
    removed = [row for row in e.compressed if row["kind"] in (MASKS, REBUILDS)]
    asked = [row for row in removed if row["stage"] != "factorize"]  # which has no random baseline
    if not asked:
        return NONE, "nothing is removed here"
    own = {pair(row) for row in asked if _names(row, "random")}
    missing = set(pairs(asked)) - own - e.with_baseline("random")
    if missing:
        return FAIL, f"random pruning of {said(missing)}; baselines=[random]"
    return PASS, said(pairs(asked))


@asks(7, "magnitude as the criterion, over the network and per layer")
def magnitude(e: Evidence) -> Verdict:
    asked = [row for row in e.compressed if row["kind"] == MASKS]
    if not asked:
        return NONE, "nothing is pruned here"
    own = [row for row in asked if _names(row, "magnitude")]
    missing = set(pairs(asked)) - {pair(row) for row in own}
    if missing:
        return FAIL, f"magnitude pruning of {said(missing)}"
    whats = {"global_threshold": "over the network", "layerwise_threshold": "per layer"}
    scopes = {scope: {pair(r) for r in own if r["prune/scope"] == scope} for scope in whats}
    gaps = [
        f"{what} for {said(m)}" for s, what in whats.items() if (m := {*pairs(own)} - scopes[s])
    ]
    if gaps:
        return FAIL, f"magnitude {'; '.join(gaps)}"
    return PASS, said(pairs(asked))


@asks(8, "the small network trained from scratch")
def scratch(e: Evidence) -> Verdict:
    asked = [row for row in e.compressed if row["kind"] in (MASKS, REBUILDS)]
    if not asked:
        return NONE, "nothing is removed here"
    gaps = []
    if missing := set(pairs(asked)) - e.with_baseline("scratch"):
        gaps.append(f"for equal epochs: {said(missing)}; baselines=[scratch]")
    rebuilt = [row for row in asked if row["kind"] == REBUILDS]
    if missing := set(pairs(rebuilt)) - e.with_baseline("compute"):
        gaps.append(f"for equal compute: {said(missing)}; baselines=[compute]")
    return FAIL if gaps else PASS, "; ".join(gaps) or said(pairs(asked))


@asks(9, "equal fine-tuning, and the dense network trained on as long")
def budget(e: Evidence) -> Verdict:
    trained = [r for r in e.compressed if r[f"{r['stage']}/optim/epochs"]]
    if not trained:
        return NONE, "nothing is fine-tuned here"
    gaps = []
    for stage in dict.fromkeys(row["stage"] for row in trained):
        own = [row for row in trained if row["stage"] == stage]
        for leaf in TRAINING:
            values = {row[f"{stage}/{leaf}"] for row in own}
            if len(values) > 1:
                gaps.append(f"{stage}/{leaf} differs: {words(values)}")
    asked = [row for row in trained if row["stage"] != "quantize"]
    if missing := set(pairs(asked)) - e.with_baseline("dense"):
        gaps.append(f"continued training of the dense {said(missing)}; baselines=[dense]")
    if gaps:
        return FAIL, "; ".join(gaps)
    return PASS, "how much was tuned by hand before, no record says"


@asks(10, "chosen on a validation split, test read once")
def selection(e: Evidence) -> Verdict:
    missing = lacking(e.rows, "val/accuracy")
    if missing:
        return FAIL, f"validation accuracy in {of(len(missing), len(e.rows))}"
    return PASS, "epochs are chosen on a split of the training data"


@asks(11, "every difference and ratio computed from records")
def computed(e: Evidence) -> Verdict:
    return PASS, f"from {len(e.records())} records, none typed"


def _names(row: Row, word: str) -> bool:
    """Whether the row's own settings name it, as of the criterion ``Magnitude``."""
    own = f"{row['stage']}/"
    return any(word in str(v).lower() for k, v in row.records[0].items() if k.startswith(own))


CHECKS = (
    *(dense, costs, macs, points, seeds, at_random, magnitude, scratch, budget, selection),
    computed,
)
