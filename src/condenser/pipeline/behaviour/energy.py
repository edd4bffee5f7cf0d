"""energy: joules of 1,000 inferences beyond idle power, where the machine has a counter."""

from __future__ import annotations

from typing import Any

from condenser import deploy, measure
from condenser.capture import evaluating
from condenser.compress import Quantized
from condenser.pipeline.behaviour.case import Case
from condenser.store import StageDir


def measured(case: Case, place: StageDir) -> dict[str, Any]:
    """Of one image at a time, in the deployed file's runtime or in torch; nothing of a network that
    only simulates integers."""
    data, threads = case.data, 1
    if case.file is not None:
        threads = case.made.stage.settings["threads"]
        session = deploy.session(case.file, threads)
        call = session.call(data.pixels() if session.pixels else data.example())
    else:
        spec, _ = case.made.entry.load(case.ctx.trusted)
        if any(isinstance(operation, Quantized) for operation in spec.operations):
            return {}
        call = measure.torch_call(case.model, data.example())
    with evaluating(case.model), measure.settled(threads):
        return measure.above_idle(call, **case.settings) or {}
