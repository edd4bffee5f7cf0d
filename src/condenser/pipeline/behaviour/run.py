"""Behaviour of each stage's result, measured once for all runs with that result."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from condenser.pipeline.behaviour import attribution, churn, energy, privacy, robustness
from condenser.pipeline.behaviour.case import Case
from condenser.pipeline.execute import Made
from condenser.pipeline.metrics import LOGITS
from condenser.pipeline.stages import RunContext
from condenser.pipeline.stages.base import flat
from condenser.store import Entry, StageDir, Store, key_of

VERSION = 1  # of what sections measure: raise it when the same settings give another number
SECTIONS: dict[str, Callable[[Case, StageDir], dict[str, Any]]] = {
    "privacy": privacy.measured,
    "robustness": robustness.measured,
    "churn": churn.measured,
    "attribution": attribution.measured,
    "energy": energy.measured,
}
SHEETS = (churn.SHEET, attribution.SHEET)


class Behaviour:
    """The sections of ``measure`` that are asked for; each one's results are an entry of the store,
    so that a stage's own key and numbers are the same with and without them."""

    def __init__(self, asked: Mapping[str, Any], ctx: RunContext, store: Store) -> None:
        self.asked, self.ctx, self.store = asked, ctx, store
        self.before: list[Made] = []

    @property
    def settings(self) -> dict[str, Any]:
        """As record keys."""
        return {k: v for name, own in self.asked.items() for k, v in flat(f"measure/{name}", own)}

    def of(self, made: Made, folder: Path) -> dict[str, Any]:
        """What is asked for, by record key, its pictures copied into the stage's folder of a run;
        nothing of a file that was not to be measured."""
        self.before.append(made)
        if not self.asked or not (made.entry.folder / LOGITS).exists():
            return {}
        case = self.case(made)
        found: dict[str, Any] = {}
        keys = []
        for name, own in self.asked.items():
            entry = self.entry(name, own, case)
            keys.append(entry.key)
            found |= {f"{name}/{key}": value for key, value in entry.metrics.items()}
            for sheet in SHEETS:
                if (entry.folder / sheet).exists():
                    (folder / made.stage.label).mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(entry.file(sheet), folder / made.stage.label / sheet)
        return {**found, "measured": "+".join(keys)}

    def entry(self, name: str, settings: Mapping[str, Any], case: Case) -> Entry:
        """One section's results for one network, from the store or measured now."""
        reference = case.reference
        beside = None if reference is None else self.entry(name, settings, reference).metrics
        made_of = {
            "version": VERSION,
            "section": name,
            "settings": settings,
            "model": case.made.entry.key,
            "reference": reference and reference.made.entry.key,
            "data": self.ctx.data.fingerprint,
        }
        if name == "robustness":
            made_of["other"] = robustness.ingredients(settings, self.ctx.data)
        own = replace(case, settings=settings, beside=beside)
        work = partial(SECTIONS[name], own)
        return self.store.get_or_make(name, key_of(made_of), work, made_of)[0]

    def case(self, made: Made) -> Case:
        """The network and the one that the run began with: its first teacher, or the first of its
        line."""
        begun = [one for one in self.before if one.stage.teaches]
        starts = [one for one in self.before if one.stage in made.stage.chain[:1]]
        first = next(iter([*begun, *starts]), made)
        alone = Case(first, None, {}, self.ctx, self.store)
        if first.entry.key == made.entry.key:
            return alone
        return replace(alone, made=made, reference=alone)
