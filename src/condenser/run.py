"""A run, top to bottom: config → data, models → stages → records."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from condenser import recipe, records
from condenser.errors import CondenserError
from condenser.records import Record
from condenser.stages import Stage, Workbench
from condenser.store import Store


def run(config: Mapping[str, Any]) -> list[Record]:
    """Run a checked, resolved config; write and return the records of its stages."""
    stages = recipe.plan(config)
    folder = Path(config["runs"]) / config["name"] / config["run"]
    say = Console(folder)
    with say.working("data"):
        bench = workbench(config, say)
        for stage in stages:
            stage.check(bench)
    tracker = open_tracker(config, stages, bench, folder)
    bench = replace(bench, loggers=tracker.lightning_logger)
    done: list[Record] = []
    failed = 1
    try:
        for made, facts in recipe.run(stages, bench, Store(Path(config["store"])), say.started):
            record = records.complete(facts | about(config))
            done.append(record)
            records.write(folder, done)
            tracker.record(record)
            say.finished(record, made.reused)
        failed = 0
    finally:
        tracker.finish(done, failed)
    say.done()
    return done


def workbench(config: Mapping[str, Any], say: Console) -> Workbench:
    """Data read, threads set, everything that stages share."""
    import torch

    from condenser.build import build

    settings = dict(config["trainer"])
    compiled, progress, threads = (settings.pop(k) for k in ("compile", "progress", "threads"))
    if threads:
        torch.set_num_threads(threads)
    torch.set_flush_denormal(True)
    data = build(config["data"], batch_size=config["optim"]["batch_size"], seed=config["seed"])
    data.setup()
    targets = [config[role]["model"]["_target_"] for role in ("teacher", "student")]
    return Workbench(
        data=data,
        seed=config["seed"],
        build=build,
        trainer=settings,
        loggers=lambda label: [],
        trusted=tuple(targets),
        progress=say.terminal if progress is None else progress,
        compile=compiled,
        warn=say.warn,
    )


def open_tracker(
    config: Mapping[str, Any], stages: list[Stage], bench: Workbench, folder: Path
) -> Any:
    """The logger that the config names, told what this run is."""
    from condenser.build import build
    from condenser.tracking import identity
    from condenser import measure
    from condenser.store import key_of

    who = identity(
        experiment=config["name"],
        recipe="-".join(stage.word for stage in stages),
        run=config["run"],
        claim=config["claim"],
        data=bench.data.name,
        models=dict.fromkeys(s.architecture["name"] for s in stages if s.architecture),
        commit=measure.commit(),
        key=key_of({k: v for k, v in config.items() if k not in ("runs", "store", "run")}),
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
        "command": shlex.join(["python", "src/train.py", *config.get("overrides", sys.argv[1:])]),
    }


class Console:
    """What a person sees while a run goes on: a line a stage."""

    def __init__(self, folder: Path) -> None:
        from rich.console import Console as Rich

        self.rich, self.folder = Rich(highlight=False), folder
        self.terminal = self.rich.is_terminal

    def working(self, what: str) -> Any:
        return self.rich.status(what) if self.terminal else _Silence()

    def warn(self, message: str) -> None:
        self.rich.print(f"warning: {message}", style="yellow", markup=False, soft_wrap=True)

    def started(self, stage: Stage) -> None:
        if self.terminal:
            self.rich.print(f"{stage.word} …", end="\r", style="dim")

    def finished(self, record: Record, reused: bool) -> None:
        def number(key: str, form: str) -> str:
            value = record[key]
            return format(value, form) if isinstance(value, int | float) else "–"

        took = "stored" if reused else f"{number('cost/train_seconds', '.1f')} s"
        self.rich.print(
            f"{record['stage']:<9} {record['model']:<14} test {number('test/accuracy', '7.2%')}  "
            f"val {number('val/accuracy', '7.2%')}  {number('size/nonzero', '>10,')} of "
            f"{number('size/params', '>10,')} weights  {number('size/file_bytes', '>10,')} bytes  {took}",
            soft_wrap=True,
        )

    def done(self) -> None:
        self.rich.print(f"records: {self.folder / records.FILE}", style="dim", soft_wrap=True)


class _Silence:
    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None: ...


__all__ = ["CondenserError", "run"]
