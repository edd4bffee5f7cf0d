"""privacy: whether a network tells which samples it was trained on."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from condenser.measure import Predictions
from condenser.measure.behaviour.privacy import calibrated, margin, membership
from condenser.measure.behaviour.roc import separation
from condenser.pipeline.behaviour import shadows
from condenser.pipeline.behaviour.case import Case
from condenser.pipeline.behaviour.shadows import Asked
from condenser.store import StageDir


def measured(case: Case, place: StageDir) -> dict[str, Any]:
    """Attacks on training samples as members and on test samples as others, as many of each."""
    asked, settings = samples(case), case.settings
    members, others = (answers(case, one) for one in (asked.members, asked.others))
    repeats = settings["bootstrap"]
    found = membership(members, others, repeats)
    if settings["shadows"]:
        known = shadows.without(case, asked, settings["shadows"])
        own = calibrated(margin(members), known[0]), calibrated(margin(others), known[1])
        result = separation(own[0].numpy(), own[1].numpy(), repeats)
        found |= {f"lira/{key}": value for key, value in result.items()}
    return {"members": len(asked.members[1]), "others": len(asked.others[1])} | found


def answers(case: Case, one: tuple[Tensor, Tensor, Tensor]) -> Predictions:
    return Predictions(case.evaluated.logits(one[0]), one[1])


def samples(case: Case) -> Asked:
    count = case.settings["samples"]
    least = min(count, case.data.train_size, len(case.data.parts.test.targets))
    return Asked(case.samples("train", least), case.samples("test", least))
