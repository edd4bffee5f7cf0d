"""The plan of a run: a checked config with its stages, made once and handed on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from condenser.config import schema
from condenser.errors import CondenserError, ConfigError, NoSuchKeyError
from condenser.pipeline import key as keys
from condenser.pipeline.budget import trials
from condenser.pipeline.stages import Stage, find
from condenser.pipeline.stages.baseline import baselines
from condenser.pipeline.stages.pairs import refusal

# what changes nothing is no setting: keys and records are as they were without it
PLAIN = {"warmup": 0, "decay_norms": True, "ema": 0, "patience": 0, "frozen": []}
NEEDS_A_MODEL = "needs a model; put teacher, student or distill before it"


@dataclass(frozen=True)
class Plan:
    """What a run will do.

    Attributes:
        stages: in their order, baselines last; of a search those that come before it.
        search: what the recipe searches for where it says budget.
    """

    config: Mapping[str, Any]
    stages: tuple[Stage, ...]
    search: Search | None = None

    @property
    def folder(self) -> Path:
        return keys.folder_of(self.config)

    @cached_property
    def digest(self) -> str:
        """What a finished run is known by."""
        return keys.digest(self.config)

    @cached_property
    def mark(self) -> str:
        """What a run's results are known by."""
        return keys.mark(self.config)

    @property
    def inputs(self) -> str | None:
        """What it would read now beside its config."""
        return keys.inputs(self.config)

    @property
    def words(self) -> list[str]:
        """The entries of the recipe, one by one."""
        return [_read(entry, "")[0] for entry in expand(self.config["recipe"]["stages"])]

    @property
    def whole(self) -> tuple[Stage, ...]:
        """All stages; of a search those of a recipe that it may choose."""
        return self.search.corners[-1].stages if self.search else self.stages

    def to_check(self) -> Iterator[Stage]:
        """Every stage whose settings can be told from here; of a search the extreme ones."""
        yield from self.stages
        if self.search:
            for corner in self.search.corners:
                yield from corner.stages[self.search.position :]


@dataclass(frozen=True)
class Search:
    """Recipes of rate × bits × coding in place of ``budget``, of which one will be chosen.

    Attributes:
        config: the run's, its entries one by one, ``budget`` as the entry overrides it.
        position: of budget among them.
        corners: the plans of the extreme choices.
    """

    config: Mapping[str, Any]
    position: int
    corners: tuple[Plan, ...]


def make_plan(config: Mapping[str, Any]) -> Plan:
    """The stages of ``recipe.stages`` with each entry's own overrides, order checked.

    Raises:
        ConfigError: an unknown stage; one whose model or teacher does not come before it; a stage
            that trains after one that quantises, or cannot take what those before it made;
            overrides that do not fit the section.
    """
    entries = list(expand(config["recipe"]["stages"]))
    places = [i for i, entry in enumerate(entries) if _read(entry, _key(i))[0] == "budget"]
    if not places:
        stages = _stages(config, entries)
        return Plan(config, (*stages, *baselines(stages, config["baselines"])))
    if len(places) > 1:
        raise CondenserError(f"{_key(places[1])}=budget: a recipe searches once")
    search = _search(config, entries, places[0])
    return Plan(config, search.corners[0].stages[: search.position], search)


def _search(config: Mapping[str, Any], entries: list[Any], position: int) -> Search:
    """The search that stands at ``position``, its extreme choices planned."""
    if not position:
        raise CondenserError(f"{_key(position)}=budget: {NEEDS_A_MODEL}")
    _, overrides, until = _read(entries[position], _key(position))
    if until is not None:
        raise ConfigError(f"{_key(position)}.until", until, "none beside budget")
    own = _section("budget", config, overrides, _key(position))
    whole = {**config, "budget": own, "recipe": {**config["recipe"], "stages": entries}}
    corners = (
        trials.replaced(whole, position, trials.entries(whole, params))
        for params in trials.corners(whole)
    )
    return Search(whole, position, tuple(make_plan(corner) for corner in corners))


def _section(
    word: str, config: Mapping[str, Any], overrides: Mapping[str, Any], key: str
) -> dict[str, Any]:
    """A stage's section of the config with what an entry overrides."""
    old = schema.of_stage(word, config[word]) if "_target_" in overrides else config[word]
    own = merge(old, overrides, f"{key}.{word}")
    if overrides:
        schema.check_section(word, own, f"{key}.")
    return own


def _stages(config: Mapping[str, Any], entries: list[Any]) -> list[Stage]:
    stages: list[Stage] = []
    for position, entry in enumerate(entries):
        key = _key(position)
        word, overrides, until = _read(entry, key)
        kind = find(word, key, config)
        own = _section(word, config, overrides, key)
        if "optim" in own:
            own = planned(own, config["optim"], word)
        where = f"{key}={word}"
        _check_order(kind, stages, where)
        chain = stages[_last_fresh(stages) :] if kind.takes_model else []
        teachers = _teachers(own.get("teachers", "auto"), stages, chain, f"{key}.{word}.teachers")
        stage = kind({**config, word: own}, position, teachers, chain, until)
        if stage.uses_teacher and not teachers and own.get("teachers") != "peer":
            raise CondenserError(f"{where}: learns from a teacher; put teacher before it")
        _check_pairs(stage, where)
        stage.accept()
        stages.append(stage)
    return stages


def _key(position: int) -> str:
    return f"recipe.stages[{position}]"


def planned(section: Mapping[str, Any], shared: Mapping[str, Any], word: str) -> dict[str, Any]:
    """The section with its training plan whole: ``optim``, but for what it says itself."""
    rest = {key: value for key, value in section.items() if key != "epochs"}
    epochs = {} if section.get("epochs") is None else {"epochs": section["epochs"]}
    own = {key: value for key, value in section["optim"].items() if value is not None}
    whole = merge(shared, own | epochs, f"{word}.optim")
    return rest | {"optim": {k: v for k, v in whole.items() if k not in PLAIN or v != PLAIN[k]}}


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
        return [stage for stage in before if stage.teaches]
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
        raise CondenserError(f"{where}: {NEEDS_A_MODEL}")


def _check_pairs(stage: Stage, where: str) -> None:
    """CondenserError where an earlier stage made what this one would undo."""
    for before in stage.chain:
        if why := refusal(before.row, stage.row, before.word):
            raise CondenserError(f"{where}: {why}")


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
            raise NoSuchKeyError(f"{where}.{key}", base)
        old = merged.get(key)
        deep = isinstance(old, Mapping) and isinstance(value, Mapping) and "_target_" not in value
        merged[key] = merge(old, value, f"{where}.{key}") if deep else value  # type: ignore[arg-type]
    return merged
