"""A recipe with a budget, top to bottom: what comes before it, the trials, the choice."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

from condenser.errors import CondenserError
from condenser.outside.sources import sources
from condenser.pipeline import execute
from condenser.pipeline.budget.choice import CHOSEN, Point, best, choose, refusal
from condenser.pipeline.budget.trials import entries, replaced, shown, space, trial
from condenser.pipeline.execute import Made
from condenser.pipeline.key import VERSION, numerics
from condenser.pipeline.plan import Plan, make_plan
from condenser.pipeline.stages import RunContext, Stage
from condenser.runs.records import Record
from condenser.search.journal import alone
from condenser.search.outcome import TRIAL
from condenser.search.study import Search, Trial
from condenser.store import Store, key_of

LIMITS = ("packed_bytes", "min_accuracy", "n_trials")  # they change the choice, not the trials
Step = tuple[Made, Record]


def run(
    plan: Plan,
    ctx: RunContext,
    store: Store,
    started: Callable[[Stage], None] = lambda stage: None,
    tell: Callable[[str], None] = print,
    settled: Callable[[Mapping[str, Any]], None] = lambda config: None,
) -> Iterator[Step]:
    """As ``execute.run``, of a recipe that says budget: each trial, then the stages of the choice.

    ``settled`` is given the config whose recipe is the choice.

    Raises:
        CondenserError: no trial keeps to the budget; it says which came nearest.
    """
    assert plan.search is not None
    before: list[Made] = []
    for made, record in execute.run(plan.stages, ctx, store, started):
        before.append(made)
        yield made, record
    config, place = plan.search.config, plan.search.position
    settings = config["budget"]
    warn_of(before[-1], settings, ctx)
    tried = Trials(config, place, before, ctx, store, tell)
    yield from tried.steps()
    point = choose(tried.points, settings)
    tell("front, by validation:")
    for other in best(tried.points):
        tell(f"  {'→' if other is point else ' '} {other}")
    if point is None:
        raise refusal(tried.points, settings)
    final = make_plan(replaced({**config, "budget": plan.config["budget"]}, place, point.entries))
    settled(final.config)
    after = execute.run(final.stages, ctx, store, started)
    last = len(before) + len(point.entries) - 1
    for number, (made, record) in enumerate(islice(after, len(before), None), len(before)):
        if number == last:
            record = record.adding({CHOSEN: True, **told(point)}, limits(settings))
        yield made, record


@dataclass
class Trials:
    """The search itself.

    Attributes:
        before: what the recipe made up to here; the last of it is what trials begin with.
        points: what came of the trials, and what they began with.
    """

    config: Mapping[str, Any]
    place: int
    before: Sequence[Made]
    ctx: RunContext
    store: Store
    tell: Callable[[str], None]
    points: list[Point] = field(default_factory=list)

    def steps(self) -> Iterator[Step]:
        """Each trial's last model, those of an earlier process first, out of the store."""
        settings = self.config["budget"]
        self.points = [point_of(self.before[-1].entry.metrics)]
        self.ctx = replace(self.ctx, loggers=lambda label: [])
        path = self.store.root / f"search-{self.key()}.journal"
        with alone(path, wait=True):
            found = Search(
                path,
                space(settings),
                ["maximize", "minimize"],
                self.ctx.build(settings["sampler"]),
                settings["seed"],
                {},
            )
            for old in found.trials[: settings["n_trials"]]:
                if old.state == "done":
                    yield self.tried(old)
            while len([t for t in found.trials if t.state != "running"]) < settings["n_trials"]:
                asked = found.ask(1)
                if not asked:
                    break
                yield from self.new(asked[0], found)

    def new(self, asked: Trial, found: Search) -> Iterator[Step]:
        """A trial that was not run to its end yet."""
        try:
            step = self.tried(asked)
        except Exception as error:  # a trial costs itself only
            text = str(error) if isinstance(error, CondenserError) else repr(error)
            found.fail(asked, text)
            self.tell(f"trial {asked.number + 1}: failed: {text}")
            return
        point = self.points[-1]
        found.tell(asked, [point.accuracy, point.size])
        yield step

    def tried(self, asked: Trial) -> Step:
        """Make the trial's model, or find it in the store."""
        whole = trial(self.config, self.place, asked.params)
        *_, (made, record) = execute.run(make_plan(whole).stages, self.ctx, self.store)
        steps = entries(self.config, asked.params)
        point = replace(point_of(record), entries=steps, trial=asked.number)
        self.points.append(point)
        return made, record.adding(told(point))

    def key(self) -> str:
        """The hash of all that determines the trials: other limits find the same search."""
        settings = self.config["budget"]
        return key_of(
            {
                "version": VERSION,
                "before": [made.entry.key for made in self.before],
                "budget": {key: settings[key] for key in settings if key not in LIMITS},
                "sections": [self.config[w] for w in ("distill", "prune", *settings["coding"])],
                "seed": self.config["seed"],
                "code": sources(settings["sampler"]),
                "numerics": numerics(self.ctx),
            }
        )


def point_of(metrics: Mapping[str, Any]) -> Point:
    """CondenserError for a model without an accuracy."""
    if metrics["val/accuracy"] is None:
        raise CondenserError("val/accuracy is none: this network was made for another task")
    return Point(metrics["val/accuracy"], metrics["size/packed_bytes"])


def told(point: Point) -> dict[str, Any]:
    """A trial as facts of its record."""
    if point.trial is None:
        return {}
    return {TRIAL: point.trial + 1, "search/settings": shown(point.entries)}


def limits(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {f"budget/{key}": settings[key] for key in LIMITS if settings[key] is not None}


def warn_of(made: Made, settings: Mapping[str, Any], ctx: RunContext) -> None:
    """A network seldom gains by being made smaller: say so before hours of search."""
    least, accuracy = settings["min_accuracy"], execute.accuracy(made)
    if least is not None and accuracy < least:
        ctx.warn(
            f"{made.stage.word} {made.model_name} itself has {accuracy:.2%} on validation, less "
            f"than budget.min_accuracy={least}: what is made of it seldom has more"
        )
