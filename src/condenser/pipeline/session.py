"""Inside a run: data read, settings and networks tried, then stage after stage to its record."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from copy import copy
from dataclasses import replace
from pathlib import Path
from time import monotonic
from typing import Any

import torch

from condenser import measure
from condenser.config.instantiate import build, conform
from condenser.data import DataModule
from condenser.errors import ConfigError
from condenser.files import write_whole
from condenser.pipeline import bundle, execute, numerics
from condenser.pipeline.behaviour import Behaviour, check, estimate
from condenser.pipeline.budget.choice import CHOSEN, marked
from condenser.pipeline.console import Console
from condenser.pipeline.execute import Made
from condenser.pipeline.plan import Plan
from condenser.pipeline.stages import RunContext
from condenser.pipeline.stages.export import Export, bundle_name
from condenser.pipeline.tracked import about, config_text, open_tracker
from condenser.pipeline.tryout import try_out
from condenser.pipeline.tryout.passed import Passed
from condenser.runs import records, saved
from condenser.runs.records import Record
from condenser.search.outcome import TRIAL
from condenser.store import Store, key_of
from condenser.training.distributed.process_group import ProcessGroup

sets: ContextVar[dict[str, DataModule] | None] = ContextVar("sets", default=None)  # read so far


def prepare(plan: Plan, say: Console, group: ProcessGroup) -> tuple[RunContext, Passed]:
    """What the stages share, all that can be known before training checked; what was tried out."""
    with say.working("data"):
        conforms(plan)
        ctx = run_context(plan.config, say, group)
        named = {s.architecture["_target_"] for s in plan.whole if s.architecture}
        ctx = replace(ctx, trusted=tuple({*ctx.trusted, *named}))
        passed = try_out(plan.whole, ctx, Path(plan.config["store"]))
        if plan.search:
            ctx.build(plan.search.config["budget"]["sampler"])(seed=0)
        for stage in plan.to_check():
            stage.check(ctx)
        passed.keep()
        told = [*announced(plan, ctx)]
    for line in told:
        say.line(line)
    return ctx, passed


def announced(plan: Plan, ctx: RunContext) -> Iterator[str]:
    """What `measure` will cost; ConfigError where it cannot be measured."""
    if asked := wanted(plan.config):
        check(asked, plan.whole, ctx)
        yield from estimate(asked, plan.whole, ctx)


def wanted(config: Mapping[str, Any]) -> dict[str, Any]:
    """The sections of `measure` that are asked for."""
    found = config.get("measure") or {}
    return {name: own for name, own in found.items() if own is not None}


def conforms(plan: Plan) -> None:
    """Every setting is of the kind that its class takes. Raises CondenserError: a line for each."""
    conform("", {key: plan.config[key] for key in ("data", "logger", "optim", "student")})
    if plan.search:
        conform("budget", plan.search.config["budget"])
    for stage in plan.whole:
        conform(stage.word, stage.settings)


def run_context(
    config: Mapping[str, Any], say: Console, group: ProcessGroup | None = None
) -> RunContext:
    """Data read, threads set, everything that stages share."""
    settings = dict(config["trainer"])
    compiled, progress, threads = (settings.pop(k) for k in ("compile", "progress", "threads"))
    checkpoint_seconds = settings.pop("checkpoint_seconds")
    if settings["accelerator"] in ("gpu", "cuda") and not torch.cuda.is_available():
        asked, allowed = settings["accelerator"], "auto or cpu on this machine"
        raise ConfigError("trainer.accelerator", asked, allowed, "torch sees no GPU")
    if threads not in (None, "auto"):
        torch.set_num_threads(threads)
    torch.set_flush_denormal(True)
    data = read(config)
    for note in data.parts.notes:
        say.warn(note)
    targets = [config[role]["model"]["_target_"] for role in ("teacher", "student")]
    ctx = RunContext(
        data=data,
        build=build,
        trainer=settings,
        loggers=lambda label: [],
        trusted=tuple(targets),
        progress=say.epoch if progress is not False and not say.quiet else None,
        compile=compiled,
        checkpoint_seconds=checkpoint_seconds,
        warn=say.warn,
        process_group=group or ProcessGroup(),
    )
    return replace(ctx, trainer=numerics.settle(config, ctx))


def read(config: Mapping[str, Any]) -> DataModule:
    """The data; runs that share a process read a set once."""
    batch_size, seed = config["optim"]["batch_size"], config["seed"]
    known, mark = sets.get(), key_of(config["data"])
    if known is not None and mark in known:
        data: DataModule = copy(known[mark])
        data.batch_size, data.seed, data.trainer = batch_size, seed, None
        return data
    data = build(config["data"], batch_size=batch_size, seed=seed)
    data.setup()
    if known is not None:
        known[mark] = data
    return data


def run_stages(plan: Plan, ctx: RunContext, say: Console, command: str | None) -> list[Record]:
    """Run the stages; write and track the record of each."""
    config, folder = plan.config, plan.folder

    def keep(settled: Mapping[str, Any]) -> None:
        write_whole(folder / saved.FILE, config_text(plan, settled))

    keep(config)
    tracker = open_tracker(plan, measure.commit())
    ctx = replace(ctx, loggers=tracker.lightning_logger)
    store = Store(Path(config["store"]), Path(config["runs"]) / ".store", say.warn)
    behaviour = Behaviour(wanted(config), ctx, store)
    done: list[Record] = []
    failed, started, shipped = 1, monotonic(), None
    try:
        known = {**about(config), "config": plan.mark, "command": command}
        for made, found in steps(plan, ctx, store, say, keep):
            record = found.adding(known)
            if TRIAL not in record or record.get(CHOSEN):
                record = record.adding(behaviour.of(made, plan.folder), behaviour.settings)
            done.append(record)
            records.write(folder, done)
            tracker.record(record, made.entry.folder)
            say.finished(record, made.reused)
            if isinstance(made.stage, Export) and (TRIAL not in record or record.get(CHOSEN)):
                seen = sum(one["kind"] == Export.kind and TRIAL not in one for one in done)
                last = seen >= plan.words.count(Export.word)
                name = bundle_name(made.stage.position, made.model_name, last)
                shipped = bundle.write(made, record, ctx, folder / name).parent
                say.line(f"{'':<9} bundle: {shipped}")
        failed = 0
    finally:
        if plan.search:
            done = marked(done)
            records.write(folder, done)
        tracker.finish(done, failed)
        store.close()
    say.done()
    if shipped is not None:
        say.ending(done, monotonic() - started, shipped)
    return done


def steps(
    plan: Plan,
    ctx: RunContext,
    store: Store,
    say: Console,
    settled: Callable[[Mapping[str, Any]], None],
) -> Iterator[tuple[Made, Record]]:
    """The stages of the plan one after the other, or of a search its trials and its choice."""
    if plan.search is None:
        return execute.run(plan.stages, ctx, store, say.started)
    from condenser.pipeline.budget import drive  # brings Optuna, which other runs do without

    return drive.run(plan, ctx, store, say.started, say.line, settled)
