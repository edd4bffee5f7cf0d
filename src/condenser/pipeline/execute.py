"""Each stage's result, made or found in the store, and how one hands its model to the next."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from operator import or_
from typing import Any

from torch import get_num_threads

from condenser.errors import CondenserError
from condenser.outside.sources import in_words
from condenser.pipeline.key import but_for_the_seed, ingredients, together
from condenser.pipeline.metrics import LOGITS, beside_teachers, check_invariants, measured
from condenser.pipeline.objective_name import objective_name
from condenser.pipeline.stages import RunContext, Stage, StageInputs
from condenser.runs.records import Record
from condenser.store import Entry, StageDir, Store, key_of


@dataclass(frozen=True)
class Made:
    """A stage's entry in the store, and its place in this run.

    Attributes:
        teachers: those it learnt from; else the run's last teacher, to be compared with.
        code: the user's own source that took part in it and in what it was made of, and versions.
    """

    stage: Stage
    entry: Entry
    group: str
    reused: bool
    parent: Made | None
    teachers: tuple[Made, ...]
    model_name: str
    code: dict[str, str] = field(hash=False)


def run(
    stages: Sequence[Stage],
    ctx: RunContext,
    store: Store,
    started: Callable[[Stage], None] = lambda stage: None,
) -> Iterator[tuple[Made, Record]]:
    """Make or find each stage's result; yield it with its record."""
    made: list[Made] = []
    by_stage: dict[int, Made] = {}
    for stage in stages:
        if stage.until is not None and made and accuracy(made[-1]) >= stage.until:
            by_stage[stage.position] = made[-1]  # good enough: whoever wants this one has the last
            continue
        started(stage)
        reference = by_stage[stage.reference.position] if stage.reference else None
        if reference is not None and reference.stage is not stage.reference:
            continue  # there was no need of it
        line = tuple(dict.fromkeys(by_stage[before.position] for before in stage.chain))
        teachers = tuple(by_stage[teacher.position] for teacher in stage.teachers)
        if stage.uses_teacher:
            for teacher in teachers:
                gate(teacher)
        else:
            teachers = tuple(m for m in made if m.stage.teaches)[-1:]
        made.append(make(stage, ctx, store, line, teachers, reference))
        by_stage[stage.position] = made[-1]
        yield made[-1], record_of(made[-1], ctx)


def accuracy(made: Made) -> float:
    return made.entry.metrics["val/accuracy"] or 0.0


def make(
    stage: Stage,
    ctx: RunContext,
    store: Store,
    line: tuple[Made, ...],
    teachers: tuple[Made, ...],
    reference: Made | None = None,
) -> Made:
    """The stage's result: from the store if its key is there, else by running it."""
    used = teachers if stage.uses_teacher else ()
    parent = line[-1] if line and stage.takes_model else None
    before = parent, used, reference
    own = ingredients(stage, ctx)
    made_of = own | lineage(*before, lambda made: made.entry.key)
    group = key_of(but_for_the_seed(own) | lineage(*before, lambda made: made.group))

    def work(place: StageDir) -> Mapping[str, Any]:
        outcome = stage.work(ctx, given, place)
        outcome.metrics |= check_invariants(stage, outcome, given, ctx)
        return measured(stage, outcome, ctx, place.folder, given)

    given = StageInputs(
        [made.entry for made in line],
        [teacher.entry for teacher in used],
        reference.entry if reference else None,
    )
    entry, reused = store.get_or_make(stage.word, key_of(made_of), work, made_of)
    name = stage.architecture["name"] if stage.architecture else parent.model_name  # type: ignore[union-attr]
    codes = (made.code for made in (parent, reference, *used) if made)
    code = reduce(or_, codes, own["code"])
    return Made(stage, entry, group, reused, parent, teachers, name, code)


def lineage(
    parent: Made | None,
    teachers: tuple[Made, ...],
    reference: Made | None,
    name: Callable[[Made], str],
) -> dict[str, Any]:
    """The models that a stage works with, by their keys or by their groups."""
    found = {"parent": parent and name(parent), "teacher": together(map(name, teachers))}
    return found | ({"reference": name(reference)} if reference else {})


def gate(teacher: Made) -> None:
    """CondenserError for a teacher below ``teacher.min_accuracy`` on validation."""
    least, got = teacher.stage.config["teacher"]["min_accuracy"], accuracy(teacher)
    foreign = teacher.entry.metrics["val/accuracy"] is None
    if got < least and not foreign:
        raise CondenserError(
            f"teacher {teacher.model_name} reaches {got:.4f} on validation, less than "
            f"teacher.min_accuracy={least}: train it longer or lower the gate"
        )


def record_of(made: Made, ctx: RunContext) -> Record:
    """Where the stage's model comes from, the settings of all that led to it, what was measured."""
    stage = made.stage
    settings: dict[str, Any] = {}
    for one in (*stage.chain, stage):
        settings |= one.described()
    if "distill/method" in settings:
        settings["distill/method"] = objective_name(settings)
    results = made.entry.metrics | {"cost/reused": made.reused}
    results |= {"cost/precision": ctx.trainer["precision"], "cost/threads": get_num_threads()}
    if made.teachers and (made.entry.folder / LOGITS).exists():
        results |= beside_teachers(made.entry, [t.entry for t in made.teachers], ctx)
    lineage = {
        "stage": stage.word,
        "kind": stage.kind,
        "position": stage.position,
        "model": made.model_name,
        "seed": stage.seed,
        "key": made.entry.key,
        "parent": made.parent and made.parent.entry.key,
        "teacher": together([t.entry.key for t in made.teachers]),
        "group": made.group,
        "code": in_words(made.code),
    }
    return Record(settings | results | lineage, settings)
