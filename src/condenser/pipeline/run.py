"""A run, top to bottom: config → data, models → stages → records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from condenser.config import schema
from condenser.errors import CondenserError, ConfigError, one_of, shown
from condenser.files import write_whole
from condenser.models import trust
from condenser.pipeline import budget, recipe
from condenser.pipeline.console import Console
from condenser.pipeline.resolve import digest, folder_of, inputs, mark
from condenser.pipeline.stages import RunContext, Stage
from condenser.pipeline.tryout import try_out
from condenser.pipeline.tryout.passed import Passed
from condenser.runs import ownership, records, saved, status
from condenser.runs.records import Record
from condenser.store import Store, check_place
from condenser.training.distributed import launch
from condenser.training.distributed.process_group import Team, form


def run(config: Mapping[str, Any], command: str | None = None) -> list[Record]:
    """Run a checked, resolved config; write and return the records of its stages.

    ``command`` is what a person would type to have the same again. Where the config has several
    processes train, it starts them; or this is one of them, and returns none unless it leads.
    """
    stages = recipe.plan(config)
    if (count := launch.needed(config["trainer"])) > 1:
        return launch.launch(run, count, config, command)
    team, folder = form(config["trainer"]), folder_of(config)
    check_place(config)
    say = Console(folder, quiet=not team.is_main)
    if not team.is_main:
        team.follow(prepared(config, stages, say, team)[0])
        return []
    with ownership.owned(folder, mark(config)):
        ctx, passed = prepared(config, stages, say, team)
        ownership.set_aside(folder, mark(config), say.warn)
        with status.kept(folder, digest(config), inputs(config)):
            done = follow(config, stages, ctx, say, command)
    passed.keep()  # the store may not have been there before
    team.shutdown()
    return done


def prepared(
    config: Mapping[str, Any], stages: list[Stage], say: Console, team: Team
) -> tuple[RunContext, Passed]:
    """The workbench, all that can be known before training checked on it; what was tried out."""
    with say.working("data"):
        conforms(config, stages)
        ctx = run_context(config, say, team)
        named = {s.architecture["_target_"] for s in stages if s.architecture}
        ctx = replace(ctx, trusted=tuple({*ctx.trusted, *named}))
        passed = try_out(stages, ctx, Path(config["store"]))
        for stage in stages:
            stage.check(ctx)
        passed.keep()
    return ctx, passed


def conforms(config: Mapping[str, Any], stages: list[Stage]) -> None:
    """Every setting is of the kind that its class takes. Raises CondenserError: a line for each."""
    from condenser.config.instantiate import conform

    conform("", {key: config[key] for key in ("data", "logger", "optim", "student")})
    for stage in stages:
        conform(stage.word, stage.settings)


def follow(
    config: Mapping[str, Any],
    stages: list[Stage],
    ctx: RunContext,
    say: Console,
    command: str | None,
) -> list[Record]:
    """Run the stages; write and track the record of each."""
    folder, own = folder_of(config), mark(config)

    def keep(settled: Mapping[str, Any]) -> None:
        write_whole(folder / saved.FILE, f"{saved.MARK}{own}\n{yaml_of(settled)}")

    keep(config)
    tracker = open_tracker(config, stages, ctx, folder)
    ctx = replace(ctx, loggers=tracker.lightning_logger)
    store = Store(Path(config["store"]), Path(config["runs"]) / ".store", say.warn)
    done: list[Record] = []
    failed = 1
    try:
        known = {**about(config), "config": own, "command": command}
        for made, found in budget.run(config, stages, ctx, store, say.started, say.line, keep):
            record = found.adding(known)
            done.append(record)
            records.write(folder, done)
            tracker.record(record, made.entry.folder)
            say.finished(record, made.reused)
        failed = 0
    finally:
        if budget.place(stages) is not None:
            done = budget.marked(done)
            records.write(folder, done)
        tracker.finish(done, failed)
        store.close()
    say.done()
    return done


def saved_config(folder: Path, trusted: Sequence[str] = ()) -> dict[str, Any]:
    """The config that a run wrote beside its records, its paths as seen from here, untracked.

    It is data: checked as what was typed is, and what it would have built is of this package, of
    conf/, or in ``trusted``.

    Raises:
        CondenserError: no folder of a run; or a line for each bad value.
    """
    records.read([folder])  # says what is wrong with a folder that is no run
    file = folder / saved.FILE
    if not file.exists():
        inside = sorted(path.parent.name for path in folder.glob(f"*/{file.name}"))
        which = one_of(inside) if inside else f"with {file.name}"
        raise ConfigError("run", folder, f"a run's folder, {which}")
    ownership.check(folder)
    config = saved.read(file)
    try:
        config["logger"] = {"_target_": "condenser.tracking.CsvTracker"}
        config["export"] = with_defaults(config.get("export"))
        schema.check(config)
        trust.check({key: value for key, value in config.items() if key != "logger"}, trusted)
    except CondenserError as error:
        lines = str(error).splitlines()
        raise CondenserError("\n".join(f"{file}: {line}" for line in lines)) from error
    runs = str(folder.resolve().parents[1])  # wherever the caller stands
    if config["store"] == f"{config['runs']}/.store":
        config["store"] = f"{runs}/.store"
    elif not Path(config["store"]).is_dir():
        raise CondenserError(f"{file}: store={shown(config['store'])}: there is no such folder")
    config["teacher"]["cache"]["folder"] = None  # what is read here does not say where to write
    return config | {"runs": runs}


def with_defaults(export: Any) -> Any:
    """The settings of a run's export, and those as shipped that the run is older than."""
    from omegaconf import OmegaConf

    from condenser.config.error_messages import CONF

    shipped = dict(OmegaConf.load(CONF / "train.yaml").export)
    return shipped | export if isinstance(export, dict) else export


def stored(folder: Path, position: int | None) -> Record:
    """The record of a run's stage at that place; None: of its last, baselines aside."""
    found = records.read([folder])
    if position is None:
        return records.final(found)
    places = {record["position"]: record for record in found}
    if position not in places:
        allowed = ", ".join(sorted(str(place) for place in places))
        raise ConfigError("--position", position, f"one of {allowed}")
    return places[position]


def yaml_of(config: Mapping[str, Any]) -> str:
    from omegaconf import OmegaConf

    return OmegaConf.to_yaml(OmegaConf.create(dict(config)))


def run_context(config: Mapping[str, Any], say: Console, team: Team | None = None) -> RunContext:
    """Data read, threads set, everything that stages share."""
    import torch

    from condenser.config.instantiate import build

    settings = dict(config["trainer"])
    compiled, progress, threads = (settings.pop(k) for k in ("compile", "progress", "threads"))
    checkpoint_seconds = settings.pop("checkpoint_seconds")
    if settings["accelerator"] in ("gpu", "cuda") and not torch.cuda.is_available():
        asked, allowed = settings["accelerator"], "auto or cpu on this machine"
        raise ConfigError("trainer.accelerator", asked, allowed, "torch sees no GPU")
    if threads:
        torch.set_num_threads(threads)
    torch.set_flush_denormal(True)
    data = build(config["data"], batch_size=config["optim"]["batch_size"], seed=config["seed"])
    data.setup()
    for note in data.parts.notes:
        say.warn(note)
    targets = [config[role]["model"]["_target_"] for role in ("teacher", "student")]
    return RunContext(
        data=data,
        build=build,
        trainer=settings,
        loggers=lambda label: [],
        trusted=tuple(targets),
        progress=say.epoch if progress is not False and not say.quiet else None,
        compile=compiled,
        checkpoint_seconds=checkpoint_seconds,
        warn=say.warn,
        team=team or Team(),
    )


def open_tracker(
    config: Mapping[str, Any], stages: list[Stage], ctx: RunContext, folder: Path
) -> Any:
    """The logger that the config names, told what this run is."""
    from condenser import measure
    from condenser.config.instantiate import build
    from condenser.store import key_of
    from condenser.tracking import identity

    who = identity(
        experiment=config["name"],
        recipe="-".join(stage.word for stage in stages if stage.word != "baseline"),
        run=config["run"],
        claim=config["claim"],
        data=ctx.data.name,
        models=dict.fromkeys(s.architecture["name"] for s in stages if s.architecture),
        commit=measure.commit(),
        key=key_of({k: v for k, v in config.items() if k not in ("runs", "store", "run")}),
        config=mark(config),
    )
    partial_tracker = build(config["logger"], _partial_=True)
    assert isinstance(partial_tracker, partial)
    return partial_tracker(identity=who, config=dict(config), folder=folder)


def about(config: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a record that is the run's and not the model's."""
    return {
        "run": config["run"],
        "experiment": config["name"],
        "claim": config["claim"],
        "data": config["data"]["name"],
    }
