"""A recipe: stages in order, and how each hands its model to the next."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from condenser import schema
from condenser.errors import CondenserError, ConfigError, nearest, one_of
from condenser.facts import beside_teachers, keep_promises, measured
from condenser.stages import Given, Stage, Workbench, find
from condenser.stages.control import controls
from condenser.store import Entry, Place, Store, key_of

VERSION = 4  # of what stages compute: raise it when the same settings give another result


@dataclass(frozen=True)
class Made:
    """A stage's entry in the store, and its place in this run.

    Attributes:
        teachers: those it learnt from; else the run's last teacher, to be compared with.
    """

    stage: Stage
    entry: Entry
    group: str
    reused: bool
    parent: Made | None
    teachers: tuple[Made, ...]
    model_name: str


def plan(config: Mapping[str, Any]) -> list[Stage]:
    """The stages of ``recipe.stages`` with each entry's own overrides, order checked.

    Raises:
        ConfigError: an unknown stage; one whose model or teacher does not come before it; a stage
            that trains after one that quantises, or cannot take what those before it made;
            overrides that do not fit the section.
    """
    stages: list[Stage] = []
    for position, entry in enumerate(expand(config["recipe"]["stages"])):
        key = f"recipe.stages[{position}]"
        word, overrides, until = _read(entry, key)
        kind = find(word, key)
        old = schema.of_stage(word, config[word]) if "_target_" in overrides else config[word]
        own = merge(old, overrides, f"{key}.{word}")
        if overrides:
            schema.check_section(word, own, f"{key}.")
        where = f"{key}={word}"
        _check_order(kind, stages, where)
        chain = stages[_last_fresh(stages) :] if kind.takes_model else []
        teachers = _teachers(own.get("teachers", "auto"), stages, chain, f"{key}.{word}.teachers")
        stage = kind({**config, word: own}, position, teachers, chain, until)
        if stage.uses_teacher and not teachers and own.get("teachers") != "peer":
            raise CondenserError(f"{where}: learns from a teacher; put teacher before it")
        stage.accept()
        stages.append(stage)
    return stages + controls(stages, config["controls"])


def expand(entries: Iterable[Any]) -> Iterator[Any]:
    """The entries of a recipe one by one: ``{tune: {}, times: 3}`` is three of it."""
    for position, entry in enumerate(entries):
        if not isinstance(entry, Mapping) or "times" not in entry:
            yield entry
            continue
        once = {key: value for key, value in entry.items() if key != "times"}
        times = entry["times"]
        if not isinstance(times, int) or isinstance(times, bool) or times < 1:
            allowed = "a whole number of at least 1"
            raise ConfigError(f"recipe.stages[{position}].times", times, allowed)
        yield from [once] * times


def _read(entry: Any, key: str) -> tuple[str, Mapping[str, Any], float | None]:
    """An entry's stage, its overrides and the accuracy that makes it needless."""
    if isinstance(entry, str):
        return entry, {}, None
    inner = dict(entry)
    until = inner.pop("until", None)
    if until is not None and not (isinstance(until, int | float) and 0 < until <= 1):
        raise ConfigError(f"{key}.until", until, "an accuracy above 0, at most 1")
    word, overrides = next(iter(inner.items()), ("", None))
    if len(inner) != 1 or not isinstance(overrides, Mapping):
        shape = "one stage with its overrides, as in {prune: {rate: 0.5}}"
        raise ConfigError(key, dict(entry), f"{shape}; times and until may stand beside it")
    return word, overrides, until


def _teachers(asked: Any, before: list[Stage], chain: list[Stage], key: str) -> list[Stage]:
    """The stages that ``teachers`` means, of those before this one."""
    if asked == "peer":
        return []
    if asked == "auto":
        return [stage for stage in before if stage.word == "teacher"]
    if asked == "previous" and before:
        return before[-1:]
    if asked == "dense" and chain:
        return chain[:1]
    if isinstance(asked, list) and asked:
        places = range(len(before))
        if all(place in places for place in asked):
            return [before[place] for place in asked]
    allowed = "auto, previous, dense, or positions of stages before this one"
    raise ConfigError(key, asked, allowed)


def _check_order(kind: type[Stage], stages: list[Stage], where: str) -> None:
    if kind.takes_model and not stages:
        raise CondenserError(f"{where}: needs a model; put teacher, student or distill before it")
    chain = [stage.word for stage in stages[_last_fresh(stages) :]]
    if kind.word == "quantize" and "quantize" in chain:
        raise CondenserError(f"{where}: the model is quantised already; quantise it once")
    if kind.trains and kind.takes_model and "quantize" in chain:
        raise CondenserError(f"{where}: trains a quantised model; put it before quantize")


def _last_fresh(before: list[Stage]) -> int:
    """Where the model that the next stage would take was first made."""
    fresh = [i for i, stage in enumerate(before) if not stage.takes_model]
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
            teachers = tuple(m for m in made if m.stage.word == "teacher")[-1:]
        made.append(make(stage, bench, store, line, teachers, reference))
        by_stage[stage.position] = made[-1]
        yield made[-1], facts_of(made[-1], bench)


def accuracy(made: Made) -> float:
    return made.entry.facts["val/accuracy"] or 0.0


def make(
    stage: Stage,
    bench: Workbench,
    store: Store,
    line: tuple[Made, ...],
    teachers: tuple[Made, ...],
    reference: Made | None = None,
) -> Made:
    """The stage's result: from the store if its key is there, else by running it."""
    used = teachers if stage.uses_teacher else ()
    parent = line[-1] if line and stage.takes_model else None
    recipe = {
        "version": VERSION,
        "stage": stage.word,
        "settings": stage.ingredients(),
        "data": bench.data.fingerprint,
        "numerics": numerics(bench),
    }
    ingredients = (
        {**recipe, "seed": stage.seed, "parent": parent and parent.entry.key}
        | {"teacher": together([t.entry.key for t in used])}
        | ({"reference": reference.entry.key} if reference else {})
    )
    taught_by = together([t.group for t in used])
    seedless = {**recipe, "settings": without_seeds(recipe["settings"])}
    group = key_of(
        {**seedless, "parent": parent and parent.group, "teacher": taught_by}
        | ({"reference": reference.group} if reference else {})
    )

    def work(place: Place) -> Mapping[str, Any]:
        outcome = stage.work(bench, given, place)
        keep_promises(stage, outcome, given, bench)
        return measured(stage, outcome, bench, place.folder, given)

    given = Given(
        [made.entry for made in line],
        [teacher.entry for teacher in used],
        reference.entry if reference else None,
    )
    entry, reused = store.get_or_make(stage.word, key_of(ingredients), work, ingredients)
    name = stage.architecture["name"] if stage.architecture else parent.model_name  # type: ignore[union-attr]
    return Made(stage, entry, group, reused, parent, teachers, name)


def without_seeds(settings: Any) -> Any:
    """The settings but for every ``seed`` in them: what repeats have in common."""
    if isinstance(settings, Mapping):
        return {k: without_seeds(value) for k, value in settings.items() if k != "seed"}
    return settings


def together(keys: list[str]) -> str | None:
    """The teachers' keys as one word."""
    return "+".join(keys) or None


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
    least, got = teacher.stage.config["teacher"]["min_accuracy"], accuracy(teacher)
    foreign = teacher.entry.facts["val/accuracy"] is None
    if got < least and not foreign:
        raise CondenserError(
            f"teacher {teacher.model_name} reaches {got:.4f} on validation, less than "
            f"teacher.min_accuracy={least}: train it longer or lower the gate"
        )


def facts_of(made: Made, bench: Workbench) -> dict[str, Any]:
    """A stage's part of the record: what was measured, where it stands, what led to it."""
    facts = dict(made.entry.facts)
    if made.teachers:
        facts |= beside_teachers(made.entry, [t.entry for t in made.teachers], bench)
    facts = made.stage.described() | facts
    for before in reversed(made.stage.chain):
        facts = before.described() | facts
    return facts | {
        "stage": made.stage.word,
        "position": made.stage.position,
        "model": made.model_name,
        "seed": made.stage.seed,
        "key": made.entry.key,
        "parent": made.parent and made.parent.entry.key,
        "teacher": together([t.entry.key for t in made.teachers]),
        "group": made.group,
        "cost/reused": made.reused,
    }
