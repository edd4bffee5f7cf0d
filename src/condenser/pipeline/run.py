"""A run: its processes, its folder and who owns that; what happens inside is ``session``."""

from __future__ import annotations

from functools import partial

from condenser.pipeline import lean, repeat
from condenser.pipeline.console import Console
from condenser.pipeline.key import others
from condenser.pipeline.plan import Plan
from condenser.runs import ownership, status
from condenser.runs.records import Record
from condenser.store import check_place
from condenser.training.distributed import launch
from condenser.training.distributed.process_group import environment, form


def run(plan: Plan, command: str | None = None) -> list[Record]:
    """Do what the plan says; write and return the records of its stages.

    ``command`` is what a person would type to have the same again. Where the config has several
    processes train, it starts them; or this is one of them, and returns none unless it leads.
    """
    config, around = plan.config, repeat.around(plan)  # before libraries set variables
    if environment() is None and (done := repeat.again(plan, command, around)):
        return done
    if (count := launch.needed(config["trainer"])) > 1:
        launch.launch(part, count, plan, command)
        return status.written(plan.folder)
    group = form(config["trainer"])
    check_place(config)
    say = Console(plan.folder, quiet=not group.is_main)
    if command is not None and not others(config):  # nobody else's code looks for what is hidden
        lean.load()
    from condenser.pipeline.session import (  # torch: not before the folder is ours
        prepare,
        run_stages,
    )

    if not group.is_main:
        group.run_worker(prepare(plan, say, group)[0])
        return []
    told = partial(repeat.facts, plan, around)
    with ownership.owned(plan.folder, plan.mark):
        ctx, passed = prepare(plan, say, group)
        ownership.set_aside(plan.folder, plan.mark, say.warn)
        with status.kept(plan.folder, plan.digest, plan.inputs, told):
            done = run_stages(plan, ctx, say, command)
    passed.keep()  # the store may not have been there before
    group.shutdown()
    return done


def part(plan: Plan, command: str | None) -> None:
    """``run`` as one of several processes; the first one's records lie in the folder."""
    run(plan, command)
