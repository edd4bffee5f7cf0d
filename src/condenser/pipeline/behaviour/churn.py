"""churn: which answers to the test images are others than the reference's."""

from __future__ import annotations

from typing import Any

from condenser.measure.behaviour.churn import changed, exemplars
from condenser.measure.behaviour.sheet import sheet
from condenser.measure.classes import damage
from condenser.pipeline.behaviour.case import Case
from condenser.pipeline.metrics.quality import load_logits
from condenser.store import StageDir

SHEET = "changed.png"


def measured(case: Case, place: StageDir) -> dict[str, Any]:
    """Shares of changed answers, worst class and hard images; their contact sheet beside them."""
    if case.reference is None:
        return {}
    own, before = (load_logits(one.made.entry) for one in (case, case.reference))
    if own.logits.shape != before.logits.shape:
        return {}  # the reference does something else
    found: dict[str, Any] = {**changed(before.logits, own.logits, own.targets)}
    lost = damage(own, before.logits, case.data.classes, case.data.task)
    found |= {key: lost[key] for key in ("worst_class", "worst_drop")}
    index = exemplars(before.logits, own.logits, case.settings["shown"])
    if len(index):
        answers = [(z[index].argmax(1)).tolist() for z in (before.logits, own.logits)]
        names = case.data.classes
        truth = own.targets[index].tolist()
        words = [
            (f"{names[t]}:", f"{names[a]} > {names[b]}")
            for t, a, b in zip(truth, *answers, strict=True)
        ]
        images = case.data.parts.test.read(index).cpu()
        (place.folder / SHEET).write_bytes(sheet(images, words))
    return found
