"""A finished run's model exported on demand, out of its store: no run of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from condenser.errors import ConfigError
from condenser.pipeline import bundle, execute
from condenser.pipeline.console import Console
from condenser.pipeline.plan import make_plan
from condenser.pipeline.session import conforms, run_context
from condenser.pipeline.stages.export import BUNDLE, is_export
from condenser.pipeline.tracked import about
from condenser.runs.records import Record
from condenser.store import Store


def export(
    config: Mapping[str, Any],
    out: Path | None = None,
    position: int | None = None,
    settings: Mapping[str, Any] | None = None,
    command: str | None = None,
) -> tuple[Record, Path]:
    """Write the bundle of a run's model; the export's record, and the deployed file in the bundle.

    What is in the store is not computed again: a repeated export takes as long as reading the data.

    Args:
        config: the run's, as ``saved_config`` reads it.
        out: the bundle's folder; None: ``bundle`` in the run's, with what is asked for in its name.
        position: of the stage whose model is exported; None: the recipe's last.
        settings: that differ from the run's ``export`` section.

    Raises:
        ConfigError: no such stage, or settings that an export cannot have.
    """
    stages = config["recipe"]["stages"]
    if position is not None and not 0 <= position < len(stages):
        raise ConfigError("--stage", position, f"a position from 0 to {len(stages) - 1}")
    stages = stages[: len(stages) if position is None else position + 1]
    if settings or not is_export(stages[-1]):
        before = stages[:-1] if is_export(stages[-1]) else stages
        stages = [*before, {"export": dict(settings or {})}]
    plan = make_plan({**config, "recipe": {"stages": stages}, "baselines": False})
    conforms(plan)
    say = Console(plan.folder)
    ctx = run_context(plan.config, say)
    own = {s.architecture["_target_"] for s in plan.stages if s.architecture}
    ctx = replace(ctx, trusted=tuple({*ctx.trusted, *own}))
    plan.stages[-1].check(ctx)
    store = Store(Path(config["store"]), Path(config["runs"]) / ".store", say.warn)
    try:
        *_, (made, found) = execute.run(plan.stages, ctx, store)
        record = found.adding({**about(config), "config": plan.mark, "command": command})
        folder = out or plan.folder / named(position, settings or {})
        return record, bundle.write(made, record, ctx, folder)
    finally:
        store.close()


def named(position: int | None, settings: Mapping[str, Any]) -> str:
    """``bundle``, or ``bundle-2-openvino-uint8``."""
    place = [] if position is None else [str(position)]
    asked = [str(v) for k, v in settings.items() if k in ("target", "input", "output", "layout")]
    return "-".join([BUNDLE, *place, *asked, *(["dynamic"] if settings.get("dynamic") else [])])
