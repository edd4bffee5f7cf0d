"""The behaviour section: its figure, its pictures, what the checks and notes say of it."""

from __future__ import annotations

from pathlib import Path

from recorded import recorded

from condenser import report
from condenser.report.analysis import checks, columns, sheets
from condenser.report.analysis.table import rows
from condenser.report.figures import behaviour
from condenser.runs import records
from condenser.runs.records import Record

SHOWN = {
    "privacy/loss/auc": 0.6, "privacy/lira/auc": 0.7, "privacy/others": 500,
    "robustness/accuracy": 0.5, "robustness/ece": 0.1,
}  # fmt: skip
PNG = sheets.SIGNATURE + b"the rest"


def found(more: dict[str, float]) -> list[Record]:
    dense = {"stage": "teacher", "position": 0, "group": "t", "size/packed_bytes": 900.0}
    small = {"stage": "prune", "position": 1, "group": "p", "size/packed_bytes": 90.0}
    small |= {"kind": "masks", "churn/changed": 0.2} if more else {}
    return [recorded({"run": "r", "test/accuracy": 0.9, **one, **more}) for one in (dense, small)]


def test_a_panel_for_each_quantity_that_was_measured() -> None:
    table = report.ordered(rows(found(SHOWN)))
    figure = behaviour.describe(table)
    assert figure is not None
    assert [panel.y.quantity for panel in figure.panels] == [
        *("test/accuracy", "privacy/lira/auc", "robustness/accuracy"),
        *("robustness/ece", "churn/changed"),
    ]
    assert {panel.x.quantity for panel in figure.panels} == {"size/packed_bytes"}
    assert sorted(i for mark in figure.panels[0].marks for i in mark.rows) == [0, 1]
    assert behaviour.describe(report.ordered(rows(found({})))) is None


def test_columns_notes_and_checks_know_it() -> None:
    table = report.ordered(rows(found(SHOWN)))
    heads = [column.head for column in columns.columns(table)]
    assert {"leaks AUC", "LiRA AUC", "corrupted %", "changed %"} <= {*heads}
    notes = checks.notes(table)
    assert any("cached outputs are a copy of the data's labels" in note for note in notes)
    assert any("fewer than 1,000 samples were no members" in note for note in notes)
    without = checks.notes(report.ordered(rows(found({}))))
    assert not any("copy of the data's labels" in note for note in without)


def test_pictures_of_runs_are_in_the_page_and_nothing_else_is(tmp_path: Path) -> None:
    run = tmp_path / "e/run"
    records.write(run, found(SHOWN))
    (run / "1-prune").mkdir()
    (run / "1-prune/changed.png").write_bytes(PNG)
    (run / "1-prune/attribution.png").write_text("<svg>")
    (run / "0-teacher").mkdir()
    (run / "0-teacher/changed.png").write_bytes(PNG + b"." * sheets.LARGEST)
    pictures = sheets.read({file: [*own.values()] for file, own in records.by_file([run]).items()})
    assert [(one.group, one.says) for one in pictures] == [("p", sheets.NAMES["changed.png"])]
    made = report.write(found(SHOWN), tmp_path / "out", sheets=pictures)
    page = (tmp_path / "out/report.html").read_text(encoding="utf-8")
    assert pictures[0].source in page and page.count('"source":"data:image/png;base64') == 1
    assert (tmp_path / "out/behaviour.png").read_bytes().startswith(sheets.SIGNATURE)
    assert tmp_path / "out/behaviour.png" in made.files
