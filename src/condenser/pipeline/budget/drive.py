"""A recipe with a budget, top to bottom: what comes before it, the trials, the choice."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

from condenser.errors import CondenserError
from condenser.outside.sources import sources
from condenser.pipeline import execute
from condenser.pipeline.budget import shipped
from condenser.pipeline.budget.choice import CHOSEN, Point, best, choose, refusal
from condenser.pipeline.budget.trials import entries, replaced, shown, space, trial
from condenser.pipeline.console import duration
from condenser.pipeline.execute import Made
from condenser.pipeline.key import VERSION, numerics
from condenser.pipeline.plan import Plan, make_plan
from condenser.pipeline.stages import RunContext, Stage
from condenser.pipeline.stages.export import Export
from condenser.runs.records import Record
from condenser.search.journal import alone
from condenser.search.outcome import TRIAL
from condenser.search.study import Search, Trial
from condenser.store import Store, key_of
from condenser.tasks import merit

LIMITS = (
    "packed_bytes",
    "min_accuracy",
    "n_trials",
    *shipped.LIMITS,
)  # they change the choice, not the trials
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
    corner = plan.search.corners[-1]
    tried = Trials(config, place, before, ctx, store, tell)
    tell(estimate(before[-1], corner.stages[place:], settings["n_trials"]))
    exports = [stage for stage in corner.stages[place:] if isinstance(stage, Export)]
    if shipped.limited(settings):
        tried.sizes = shipped.sizes_of(before[-1], exports[0], ctx, 1 - settings["rate"][1])
    yield from tried.steps()
    point = choose(tried.points, settings)
    tell("front, by validation:")
    for other in best(tried.points):
        tell(f"  {'→' if other is point else ' '} {other}")
    if point is None:
        raise refusal(tried.points, settings, tried.failed)
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
    sizes: shipped.Sizes | None = None  # where the budget is of what is shipped
    failed: str = ""  # why the last of them did
    solved: int = 0  # trials that were solved for, before those of the search

    def steps(self) -> Iterator[Step]:
        """Each trial's last model, those of an earlier process first, out of the store."""
        settings = self.config["budget"]
        self.ctx = replace(self.ctx, loggers=lambda label: [])
        if self.sizes is None:
            self.points = [point_of(self.before[-1].entry.metrics)]
        else:
            yield from self.near(self.sizes)
            settings = {**settings, "n_trials": settings["n_trials"] - self.solved}
            if settings["n_trials"] < 1:
                return
        path = self.store.root / f"search-{self.key()}.journal"
        with alone(path, wait=True):
            found = Search(
                path,
                space(self.config),
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
            self.tell(f"trial {self.solved + asked.number + 1}: failed: {text}")
            return
        point = self.points[-1]
        found.tell(asked, [point.accuracy, point.size])
        yield step

    def near(self, sizes: shipped.Sizes) -> Iterator[Step]:
        """Trials whose cost was solved for, and solved again where it came out otherwise."""
        settings, seen = self.config["budget"], set()
        limits = shipped.limited(settings)
        for bits in shipped.widths(self.config):
            for _ in range(shipped.TRIES):
                kept = sizes.kept(limits, bits, shipped.FULL)
                if (kept, bits) in seen or self.solved >= settings["n_trials"]:
                    break
                seen.add((kept, bits))
                self.solved += 1
                try:
                    yield self.made({"kept": kept, "bits": bits}, self.solved - 1)
                except CondenserError as error:
                    self.failed = str(error)
                    self.tell(f"trial {self.solved}: failed: {error}")
                    break
                full = sizes.learn(limits, bits, self.points[-1].costs)
                if full <= 1 and (full >= shipped.CLOSE or kept == 1):
                    break

    def tried(self, asked: Trial) -> Step:
        """Make the trial's model, or find it in the store."""
        params = dict(asked.params)
        if self.sizes is not None:
            limits, bits = shipped.limited(self.config["budget"]), params["bits"]
            params = {"kept": self.sizes.kept(limits, bits, params["fill"]), "bits": bits}
        return self.made(params, self.solved + asked.number)

    def made(self, params: Mapping[str, Any], number: int) -> Step:
        """The model of these settings."""
        whole = trial(self.config, self.place, params)
        *_, (made, record) = execute.run(make_plan(whole).stages, self.ctx, self.store)
        point = replace(point_of(record), entries=entries(self.config, params), trial=number)
        self.points.append(point)
        return made, record.adding(told(point))

    def key(self) -> str:
        """The hash of all that determines the trials: other limits find the same search."""
        settings = self.config["budget"]
        near = shipped.limited(settings)  # what is tried depends on it
        words = ("cut", "quantize", "export") if near else ("prune", *settings["coding"])
        return key_of(
            {
                "version": VERSION,
                "before": [made.entry.key for made in self.before],
                "budget": {key: settings[key] for key in settings if key not in LIMITS},
                "sections": [self.config[w] for w in ("distill", *words)],
                **({"near": near, "solved": self.solved} if near else {}),
                "seed": self.config["seed"],
                "code": sources(settings["sampler"]),
                "numerics": numerics(self.ctx),
            }
        )


def point_of(metrics: Mapping[str, Any]) -> Point:
    """CondenserError for a model without an accuracy."""
    good = merit(metrics)
    if good is None:
        raise CondenserError("val/accuracy is none: this network was made for another task")
    if metrics.get("kind") != Export.kind:
        return Point(good, metrics["size/packed_bytes"])
    costs = {name: metrics[key] for name, key in shipped.LIMITS.items()}
    costs["packed_bytes"] = metrics["size/packed_bytes"]
    return Point(good, metrics["size/file_bytes"], costs=costs)


def told(point: Point) -> dict[str, Any]:
    """A trial as facts of its record."""
    if point.trial is None:
        return {}
    return {TRIAL: point.trial + 1, "search/settings": shown(point.entries)}


def estimate(made: Made, stages: Sequence[Stage], trials: int) -> str:
    """How long the trials may take, by an epoch of the network that they begin with."""
    seconds, epochs = (made.entry.metrics.get(f"cost/{key}") for key in ("train_seconds", "epochs"))
    each = sum(stage.settings["optim"]["epochs"] for stage in stages if "optim" in stage.settings)
    if not seconds or not epochs:
        return f"{trials} trials of {each} epochs each"
    long = duration(trials * each * seconds / epochs)
    return f"{trials} trials of {each} epochs each: about {long} of training"


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
