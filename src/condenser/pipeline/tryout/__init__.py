"""Networks from outside are tried before training: built, run, trained a step, stored, deployed.

The package's own are known to work, and are tried only on a batch of one sample.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from condenser.pipeline.stages import RunContext, Stage
from condenser.pipeline.stages.teacher import Teacher
from condenser.pipeline.tryout.loaded import check_loaded
from condenser.pipeline.tryout.network import attempt, learn_from_one
from condenser.pipeline.tryout.passed import Passed
from condenser.pipeline.tryout.trial import trials


def try_out(stages: Sequence[Stage], ctx: RunContext, store: Path) -> Passed:
    """Try each network of a recipe once for all runs that use ``store``; what went well, to keep.

    Raises:
        CondenserError: one line: the network, the step that fails, why, what would mend it.
    """
    passed = Passed(store)
    for stage in stages:
        if isinstance(stage, Teacher) and stage.folder is not None:
            check_loaded(stage, stages, ctx)
    for trial in trials(stages, ctx):
        if not trial.outside:
            if trial.least == 1:
                learn_from_one(trial, ctx)
        elif not passed.has(key := trial.key(ctx)):
            attempt(trial, ctx)
            passed.new.add(key)
    return passed
