"""The columns people read, as finished cells that every text format prints."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from condenser.report import labels, settings
from condenser.report.pareto import front
from condenser.report.quantities import less_is_better, si
from condenser.report.table import Row

FILE = "size/file_bytes"


@dataclass(frozen=True)
class Column:
    """One column; rank says how soon it gives way on a narrow terminal (0 never)."""

    head: str
    cells: list[str]
    rank: int
    is_text: bool = False


@dataclass(frozen=True)
class Measure:
    head: str
    key: str
    show: Callable[[float], str]
    rank: int
    has_std: bool = False


def _percent(value: float) -> str:
    return f"{100 * value:.2f}"


def _kilobytes(value: float) -> str:
    return f"{value / 1000:,.1f}" if value < 1e6 else f"{value / 1000:,.0f}"


def _milliseconds(value: float) -> str:
    return f"{value:.3f}" if value < 10 else f"{value:.1f}"


def _seconds(value: float) -> str:
    return f"{value:.1f}" if value < 100 else f"{value:,.0f}"


MEASURES = (
    Measure("accuracy %", "test/accuracy", _percent, 0, has_std=True),
    Measure("last %", "test/accuracy_last", _percent, 6),
    Measure("val %", "val/accuracy", _percent, 7),
    Measure("agree %", "teacher/agreement", _percent, 5),
    Measure("KL", "teacher/kl", lambda value: f"{value:.4f}", 10),
    Measure("CKA", "cka/teacher", lambda value: f"{value:.3f}", 10),
    Measure("worst class", "teacher/worst_drop", lambda value: f"{-100 * value:+.1f}", 10),
    Measure("ECE", "test/ece", lambda value: f"{value:.4f}", 9),
    Measure("params", "size/params", si, 2),
    Measure("nonzero", "size/nonzero", si, 4),
    Measure("file KB", FILE, _kilobytes, 0),
    Measure("packed KB", "size/packed_bytes", _kilobytes, 4),
    Measure("MACs", "compute/macs", si, 3),
    Measure("nonzero MACs", "compute/nonzero_macs", si, 8),
    Measure("latency ms", "latency/ms_b1", _milliseconds, 2),
    Measure("train s", "cost/train_seconds", _seconds, 8),
)


def columns(rows: Sequence[Row]) -> list[Column]:
    """Every column that says something about these rows, its cells in the order of the rows."""
    measures = [_measure(m, rows) for m in MEASURES if any(m.key in row.mean for row in rows)]
    at = next((i + 1 for i, c in enumerate(measures) if c.head == "file KB"), len(measures))
    measures[at:at] = _smaller(rows)
    runtimes = [str(row["latency/runtime"] or "") for row in rows]
    runtime = [Column("runtime", runtimes, 8, is_text=True)] if len(set(runtimes)) > 1 else []
    n = Column("n", [str(row.n) for row in rows], 1)
    return [*_identity(rows), *measures, *runtime, n]


def _identity(rows: Sequence[Row]) -> list[Column]:
    """Who the row is: its stage, what it inherits from earlier ones, and whatever else differs."""
    stage = Column("stage", labels.stage_names(rows), 0, is_text=True)
    model = Column("model", [str(row["model"] or "") for row in rows], 1, is_text=True)
    carried = [Column(settings.head(k), _inherited(k, rows), 0) for k in labels.varied(rows)]
    experiment = Column("experiment", [", ".join(row.experiments) for row in rows], 1, is_text=True)
    data = Column("data", [str(row["data"] or "") for row in rows], 1, is_text=True)
    several = [c for c in (experiment, data) if len(set(c.cells)) > 1]
    best = set(pareto(rows, FILE, "test/accuracy"))
    mark = Column("", ["◆" if i in best else "" for i in range(len(rows))], 1, is_text=True)
    return [mark, *several, stage, model, *(c for c in carried if any(c.cells))]


def _inherited(key: str, rows: Sequence[Row]) -> list[str]:
    """The setting in the rows of later stages; the stage's own row has it in its name."""
    own = key.partition("/")[0]
    return ["" if row["stage"] == own else settings.value_text(key, row[key]) for row in rows]


def _measure(measure: Measure, rows: Sequence[Row]) -> Column:
    return Column(measure.head, [_cell(measure, row) for row in rows], measure.rank)


def _cell(measure: Measure, row: Row) -> str:
    if measure.key not in row.mean:
        return ""
    text = measure.show(row.mean[measure.key])
    std = row.std.get(measure.key) if measure.has_std else None
    return text if std is None else f"{text} ± {measure.show(std)}"


def _smaller(rows: Sequence[Row]) -> list[Column]:
    """original ÷ new, in bytes of the file to ship."""
    cells = []
    for row, base in zip(rows, originals(rows), strict=True):
        size = row.mean.get(FILE)
        cells.append(f"{base.mean[FILE] / size:,.1f}×" if base and size else "")
    return [Column("smaller", cells, 1)] if any(cells) else []


def originals(rows: Sequence[Row]) -> list[Row | None]:
    """What each row's ratio is to: its own network at the recipe's start, or else the largest
    model that its experiment starts from."""
    starts = [row for row in rows if row["position"] == 0 and FILE in row.mean]

    def start(row: Row) -> Row | None:
        known = [s for s in starts if set(s.experiments) & set(row.experiments)]
        own = [s for s in known if s["model"] == row["model"]]
        return max(own or known, key=lambda s: s.mean[FILE], default=None)

    return [start(row) for row in rows]


def pareto(rows: Sequence[Row], x: str, y: str) -> list[int]:
    """Indices of the rows on the front of the better mean y over the lower mean x, by x."""
    known = [i for i, row in enumerate(rows) if x in row.mean and y in row.mean]
    sign = -1.0 if less_is_better(y) else 1.0
    best = front([rows[i].mean[x] for i in known], [sign * rows[i].mean[y] for i in known])
    return [known[i] for i in best]
