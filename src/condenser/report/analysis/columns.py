"""The columns people read, as finished cells that every text format prints."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from condenser.functional.pareto import front
from condenser.report.analysis import labels, settings
from condenser.report.analysis.quantities import less_is_better, si
from condenser.report.analysis.table import Row

FILE, ACCURACY = "size/file_bytes", "test/accuracy"
# Measure → (head, rank) of the column that says original ÷ new beside it.
RATIOS = {
    FILE: ("smaller", 1),
    "size/params": ("params ÷", 9),
    "compute/macs": ("MACs ÷", 6),
    "latency/ms_b1": ("faster", 6),
}
PLACE = ("hardware", "latency/runtime", "latency/threads")  # what makes two latencies comparable


@dataclass(frozen=True)
class Column:
    """One column; rank says how soon it gives way on a narrow terminal (0 never).

    numbers: what the cells say, in the records' units, to sort by; none in columns of text.
    """

    head: str
    cells: list[str]
    rank: int
    is_text: bool = False
    numbers: list[float | None] = field(default_factory=list)


@dataclass(frozen=True)
class Measure:
    head: str
    key: str
    show: Callable[[float], str]
    rank: int
    has_std: bool = False


def _percent(value: float) -> str:
    return f"{100 * value:.2f}"


def _points(value: float) -> str:
    return f"{100 * value:+.2f}"


def _kilobytes(value: float) -> str:
    return f"{value / 1000:,.1f}" if value < 1e6 else f"{value / 1000:,.0f}"


def _milliseconds(value: float) -> str:
    return f"{value:.3f}" if value < 10 else f"{value:.1f}"


def _seconds(value: float) -> str:
    return f"{value:.1f}" if value < 100 else f"{value:,.0f}"


MEASURES = (
    Measure("accuracy %", ACCURACY, _percent, 0, has_std=True),
    Measure("last %", "test/accuracy_last", _percent, 6),
    Measure("val %", "val/accuracy", _percent, 7),
    Measure("agree %", "teacher/agreement", _percent, 5),
    Measure("KL", "teacher/kl", lambda value: f"{value:.4f}", 10),
    Measure("CKA", "cka/teacher", lambda value: f"{value:.3f}", 10),
    Measure("worst class", "teacher/worst_drop", lambda value: f"{-100 * value:+.1f}", 10),
    Measure("leaks AUC", "privacy/loss/auc", lambda value: f"{value:.3f}", 8),
    Measure("LiRA AUC", "privacy/lira/auc", lambda value: f"{value:.3f}", 8),
    Measure("corrupted %", "robustness/accuracy", _percent, 8),
    Measure("PGD %", "robustness/pgd", _percent, 10),
    Measure("changed %", "churn/changed", _percent, 8),
    Measure("looks alike", "attribution/gradcam/spearman", lambda value: f"{value:.3f}", 10),
    Measure("J per 1,000", "energy/j_per_1000", lambda value: f"{value:.3g}", 8),
    Measure("ECE", "test/ece", lambda value: f"{value:.4f}", 9),
    Measure("params", "size/params", si, 2),
    Measure("nonzero", "size/nonzero", si, 4),
    Measure("file KB", FILE, _kilobytes, 0),
    Measure("packed KB", "size/packed_bytes", _kilobytes, 4),
    Measure("MACs", "compute/macs", si, 3),
    Measure("nonzero MACs", "compute/nonzero_macs", si, 8),
    Measure("latency ms", "latency/ms_b1", _milliseconds, 2),
    Measure("energy µJ", "energy/uj", lambda value: f"{value:.3g}", 4),
    Measure("train s", "cost/train_seconds", _seconds, 8),
)


def columns(rows: Sequence[Row]) -> list[Column]:
    """Every column that says something about these rows, its cells in the order of the rows."""
    bases = originals(rows)
    found: list[Column] = []
    for measure in MEASURES:
        if any(measure.key in row.mean for row in rows):
            found += [_measure(measure, rows), *_derived(measure.key, rows, bases)]
    runtimes = [str(row["latency/runtime"] or "") for row in rows]
    runtime = [Column("runtime", runtimes, 8, is_text=True)] if len(set(runtimes)) > 1 else []
    n = Column("n", [str(row.n) for row in rows], 1, numbers=[row.n for row in rows])
    return [*_identity(rows), *found, *runtime, n]


def _identity(rows: Sequence[Row]) -> list[Column]:
    """Who the row is: its stage, what it inherits from earlier ones, and whatever else differs."""
    stage = Column("stage", labels.stage_names(rows), 0, is_text=True)
    model = Column("model", [str(row["model"] or "") for row in rows], 1, is_text=True)
    carried = [Column(settings.head(k), _inherited(k, rows), 0) for k in labels.varied(rows)]
    experiment = Column("experiment", [", ".join(row.experiments) for row in rows], 1, is_text=True)
    data = Column("data", [str(row["data"] or "") for row in rows], 1, is_text=True)
    several = [c for c in (experiment, data) if len(set(c.cells)) > 1]
    best = set(pareto(rows, FILE, ACCURACY))
    mark = Column("", ["◆" if i in best else "" for i in range(len(rows))], 1, is_text=True)
    return [mark, *several, stage, model, *(c for c in carried if any(c.cells))]


def _inherited(key: str, rows: Sequence[Row]) -> list[str]:
    """The setting in the rows of later stages; the stage's own row has it in its name."""
    own = key.partition("/")[0]
    return ["" if row["stage"] == own else settings.value_text(key, row[key]) for row in rows]


def _measure(measure: Measure, rows: Sequence[Row]) -> Column:
    numbers = [row.mean.get(measure.key) for row in rows]
    return Column(measure.head, [_cell(measure, r) for r in rows], measure.rank, numbers=numbers)


def _cell(measure: Measure, row: Row) -> str:
    if measure.key not in row.mean:
        return ""
    text = measure.show(row.mean[measure.key])
    std = row.std.get(measure.key) if measure.has_std else None
    return text if std is None else f"{text} ± {measure.show(std)}"


def _derived(key: str, rows: Sequence[Row], bases: Sequence[Row | None]) -> list[Column]:
    """What is computed of a measure: its interval, and how it stands to the original's."""
    if key == ACCURACY:
        halves = [row.half.get(key) for row in rows]
        deltas = [change(row, base, key) for row, base in zip(rows, bases, strict=True)]
        found = [_column("± 95 %", 3, halves, _percent), _column("Δ points", 2, deltas, _points)]
    else:
        head, rank = RATIOS.get(key, ("", 0))
        ratios = [ratio(row, base, key) for row, base in zip(rows, bases, strict=True)]
        found = [_column(head, rank, ratios, lambda value: f"{value:,.1f}×")] if head else []
    return [column for column in found if any(column.cells)]


def _column(
    head: str, rank: int, numbers: list[float | None], show: Callable[[float], str]
) -> Column:
    cells = ["" if number is None else show(number) for number in numbers]
    return Column(head, cells, rank, numbers=numbers)


def change(row: Row, base: Row | None, key: str) -> float | None:
    """The row's mean minus the original's; None where one has none, or of the original itself."""
    if base is None or base is row or key not in row.mean or key not in base.mean:
        return None
    return row.mean[key] - base.mean[key]


def ratio(row: Row, base: Row | None, key: str) -> float | None:
    """original ÷ new; None where one has none, and of times that were not taken alike."""
    if base is None or not row.mean.get(key) or key not in base.mean:
        return None
    taken = PLACE if key.startswith("latency/") else ()
    if any(row[place] != base[place] for place in taken):
        return None
    return base.mean[key] / row.mean[key]


def originals(rows: Sequence[Row]) -> list[Row | None]:
    """What each row's ratio is to: its own network at the recipe's start, or else the largest
    model that its experiment starts from."""
    starts = [row for row in rows if row["position"] == 0 and FILE in row.mean]
    theirs = [set(one.experiments) for one in starts]

    def start(row: Row) -> Row | None:
        known = [one for one, own in zip(starts, theirs, strict=True) if own & {*row.experiments}]
        own = [s for s in known if s["model"] == row["model"]]
        return max(own or known, key=lambda s: s.mean[FILE], default=None)

    return [start(row) for row in rows]


def pareto(rows: Sequence[Row], x: str, y: str) -> list[int]:
    """Indices of the rows on the front of the better y over the lower mean x, by x.

    Selection is validation's: of ``test/…`` the front is that of ``val/…``, where it was measured.
    """
    by = chosen_on(rows, y)
    known = [i for i, r in enumerate(rows) if x in r.mean and y in r.mean and by in r.mean]
    sign = -1.0 if less_is_better(y) else 1.0
    best = front([rows[i].mean[x] for i in known], [sign * rows[i].mean[by] for i in known])
    return [known[i] for i in best]


def chosen_on(rows: Sequence[Row], y: str) -> str:
    """The validation metric beside a test metric; the metric itself, if no row has that."""
    val = f"val/{y.removeprefix('test/')}"
    return val if y.startswith("test/") and any(val in row.mean for row in rows) else y
