"""A recipe: stages in order, and how each hands its model to the next."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from condenser import schema
from condenser.errors import CondenserError, ConfigError, nearest, one_of
from condenser.facts import load_logits, measured
from condenser.stages import Stage, Workbench, find
from condenser.store import Entry, Place, Store, key_of

if TYPE_CHECKING:
    pass

VERSION = 2  # of what stages compute: raise it when the same settings give another result


@dataclass(frozen=True)
class Made:
    """A stage's entry in the store, and its place in this run."""

    stage: Stage
    entry: Entry
    group: str
    reused: bool
    parent: Made | None
    teacher: Made | None
    model_name: str


def plan(config: Mapping[str, Any]) -> list[Stage]:
    """The stages of ``recipe.stages`` with each entry's own overrides, order checked.

    Raises:
        ConfigError: an unknown stage; one whose model or teacher does not come before it; a stage
            that trains after one that quantises, or cannot take what those before it made;
            overrides that do not fit the section.
    """
    stages: list[Stage] = []
    for position, entry in enumerate(config["recipe"]["stages"]):
        key = f"recipe.stages[{position}]"
        word, overrides = (entry, {}) if isinstance(entry, str) else _only(entry, key)
        kind = find(word, key)
        old = schema.of_stage(word, config[word]) if "_target_" in overrides else config[word]
        own = merge(old, overrides, f"{key}.{word}")
        if overrides:
            schema.check_section(word, own, f"{key}.")
        before = [stage.word for stage in stages]
        _check_order(kind, before, f"{key}={word}")
        stage = kind({**config, word: own}, position, "teacher" in before)
        if stage.uses_teacher and not stage.taught:
            raise CondenserError(f"{key}={word}: learns from a teacher; put teacher before it")
        stage.accept(stages[_last_fresh(before) :])
        stages.append(stage)
    return stages


def _only(entry: Mapping[str, Any], key: str) -> tuple[str, Mapping[str, Any]]:
    if len(entry) != 1:
        raise ConfigError(
            key, dict(entry), "one stage with its overrides, as in {prune: {rate: 0.5}}"
        )
    return next(iter(entry.items()))


def _check_order(kind: type[Stage], before: list[str], where: str) -> None:
    if kind.takes_model and not before:
        raise CondenserError(f"{where}: needs a model; put teacher, student or distill before it")
    if kind.wants_teacher and "teacher" not in before:
        raise CondenserError(f"{where}: needs a teacher; put teacher before it")
    chain = before[_last_fresh(before) :]
    if kind.trains and kind.takes_model and "quantize" in chain:
        raise CondenserError(f"{where}: trains a quantised model; put it before quantize")
    if kind.word == "quantize" and "quantize" in chain:
        raise CondenserError(f"{where}: the model is quantised already; quantise it once")


def _last_fresh(before: list[str]) -> int:
    """Where the model that the next stage would take was first made."""
    fresh = [i for i, word in enumerate(before) if not find(word, "").takes_model]
    return fresh[-1] if fresh else 0


def merge(base: Mapping[str, Any], overrides: Mapping[str, Any], where: str) -> dict[str, Any]:
    """``base`` with ``overrides``, deep; a mapping that names a ``_target_`` replaces the old one.

    Raises:
        ConfigError: a key that ``base`` lacks; ``where`` says whose.
    """
    merged = dict(base)
    for key, value in overrides.items():
        if key not in base and "_target_" not in overrides:
            raise ConfigError(f"{where}.{key}", value, one_of(base), nearest(key, base))
        old = merged.get(key)
        deep = isinstance(old, Mapping) and isinstance(value, Mapping) and "_target_" not in value
        merged[key] = merge(old, value, f"{where}.{key}") if deep else value  # type: ignore[arg-type]
    return merged


def run(
    stages: list[Stage],
    bench: Workbench,
    store: Store,
    started: Callable[[Stage], None] = lambda stage: None,
) -> Iterator[tuple[Made, dict[str, Any]]]:
    """Make or find each stage's result; yield it with its record's facts."""
    made: list[Made] = []
    for stage in stages:
        started(stage)
        parent = made[-1] if made and stage.takes_model else None
        teacher = next((m for m in reversed(made) if m.stage.word == "teacher"), None)
        if teacher is not None and stage.uses_teacher:
            gate(teacher)
        made.append(make(stage, bench, store, parent, teacher))
        yield made[-1], facts_of(made[-1])


def make(
    stage: Stage, bench: Workbench, store: Store, parent: Made | None, teacher: Made | None
) -> Made:
    """The stage's result: from the store if its key is there, else by running it."""
    used = teacher if stage.uses_teacher else None
    recipe = {
        "version": VERSION,
        "stage": stage.word,
        "settings": stage.ingredients(),
        "data": bench.data.fingerprint,
        "numerics": numerics(bench),
    }
    key = key_of(
        {**recipe, "seed": stage.seed, "parent": parent and parent.entry.key}
        | {"teacher": used and used.entry.key}
    )
    group = key_of({**recipe, "parent": parent and parent.group, "teacher": used and used.group})

    def work(place: Place) -> Mapping[str, Any]:
        source = parent.entry if parent else None
        outcome = stage.run(bench, source, used.entry if used else None, place)
        return measured(stage, outcome, bench, place.folder)

    entry, reused = store.get_or_make(stage.word, key, work)
    name = stage.architecture["name"] if stage.architecture else parent.model_name  # type: ignore[union-attr]
    return Made(stage, entry, group, reused, parent, teacher, name)


def numerics(bench: Workbench) -> dict[str, Any]:
    """What changes the bits of a result without being asked for in the recipe."""
    import torch

    return {
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "trainer": {k: v for k, v in bench.trainer.items() if k != "deterministic"},
        "compile": bench.compile,
    }


def gate(teacher: Made) -> None:
    """CondenserError for a teacher below ``teacher.min_accuracy`` on validation."""
    least, got = teacher.stage.settings["min_accuracy"], teacher.entry.facts["val/accuracy"]
    if got < least:
        raise CondenserError(
            f"teacher {teacher.model_name} reaches {got:.4f} on validation, less than "
            f"teacher.min_accuracy={least}: train it longer or lower the gate"
        )


def facts_of(made: Made) -> dict[str, Any]:
    """A stage's part of the record: what was measured, where it stands, what led to it."""
    from condenser import measure

    facts = dict(made.entry.facts)
    if made.teacher is not None:
        teacher = load_logits(made.teacher.entry).logits
        beside = measure.quality(load_logits(made.entry), teacher)
        facts |= {f"teacher/{k[8:]}": v for k, v in beside.items() if k.startswith("teacher_")}
    line: Made | None = made
    while line is not None:
        facts = line.stage.described() | facts
        line = line.parent
    return facts | {
        "stage": made.stage.word,
        "position": made.stage.position,
        "model": made.model_name,
        "seed": made.stage.seed,
        "key": made.entry.key,
        "parent": made.parent and made.parent.entry.key,
        "teacher": made.teacher and made.teacher.entry.key,
        "group": made.group,
        "cost/reused": made.reused,
    }
