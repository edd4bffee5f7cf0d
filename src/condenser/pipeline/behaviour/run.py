"""Behaviour of each stage's result, measured once for all runs with that result."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from condenser.pipeline.behaviour import privacy
from condenser.pipeline.behaviour.case import Case
from condenser.pipeline.execute import Made
from condenser.pipeline.metrics import LOGITS
from condenser.pipeline.stages import RunContext
from condenser.pipeline.stages.base import flat
from condenser.store import Entry, StageDir, Store, key_of

VERSION = 1  # of what sections measure: raise it when the same settings give another number
SECTIONS: dict[str, Callable[[Case], dict[str, Any]]] = {"privacy": privacy.measured}


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

    def of(self, made: Made) -> dict[str, Any]:
        """What is asked for, by record key; nothing of a file that was not to be measured."""
        self.before.append(made)
        if not (made.entry.folder / LOGITS).exists():
            return {}
        found: dict[str, Any] = {}
        entries = {name: self.entry(name, own, made) for name, own in self.asked.items()}
        for name, entry in entries.items():
            found |= {f"{name}/{key}": value for key, value in entry.metrics.items()}
        kept = "+".join(entry.key for entry in entries.values())
        return found | ({"measured": kept} if kept else {})

    def entry(self, name: str, settings: Mapping[str, Any], made: Made) -> Entry:
        """One section's results for one network, from the store or measured now."""
        beside = self.reference(made)
        reference = Case(beside, None, settings, self.ctx, self.store) if beside else None
        case = Case(made, reference, settings, self.ctx, self.store)
        made_of = {
            "version": VERSION,
            "section": name,
            "settings": settings,
            "model": made.entry.key,
            "reference": beside and beside.entry.key,
            "data": self.ctx.data.fingerprint,
        }
        work = partial(measured, name, case)
        return self.store.get_or_make(name, key_of(made_of), work, made_of)[0]

    def reference(self, made: Made) -> Made | None:
        """The network that the run began with: its first teacher, or the first of its line."""
        begun = next((one for one in self.before if one.stage.teaches), None)
        starts = [one for one in self.before if one.stage in made.stage.chain[:1]]
        found = begun or next(iter(starts), made)
        return None if found.entry.key == made.entry.key else found


def measured(name: str, case: Case, place: StageDir) -> dict[str, Any]:
    return SECTIONS[name](case)
