"""What is measured of a stage's result, whatever run it stands in."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import torch

from condenser import deploy, measure
from condenser.checkpoint import model_spec
from condenser.checkpoint.model_spec import violations
from condenser.checkpoint.packed import table
from condenser.errors import CondenserError
from condenser.pipeline.metrics import costs, quality
from condenser.pipeline.stages import RunContext, Stage, StageInputs, StageResult


def measured(
    stage: Stage, outcome: StageResult, ctx: RunContext, folder: Path, inputs: StageInputs
) -> dict[str, Any]:
    """Save the outcome and measure all that does not depend on the run around it."""
    data, model = ctx.data, outcome.model
    model_spec.save(folder, outcome.spec, model)
    if outcome.unmeasured:
        return unmeasured(outcome, folder)
    predictor = deploy.session(outcome.file, outcome.threads) if outcome.file else model
    raw = isinstance(predictor, deploy.Session) and predictor.pixels
    test = measure.predict(predictor, batches(data.test_dataloader(), raw), data.task)
    quality.save_logits(folder, test)
    seen = measure.predict(predictor, batches(data.val_dataloader(), raw), data.task)
    val = quality.graded(seen, data.task)
    best = quality.graded(test, data.task)
    chosen = tuple(dict.fromkeys(("accuracy", data.task.chosen)))
    metrics = {f"test/{k}": v for k, v in best.items()} | {f"val/{k}": val[k] for k in chosen}
    for key in chosen:
        metrics |= {f"val/{key}_last": val[key], f"test/{key}_last": best[key]}
    if outcome.last is not None:
        for split, loader in (("val", data.val_dataloader()), ("test", data.test_dataloader())):
            last = quality.graded(measure.predict(outcome.last, loader, data.task), data.task)
            metrics |= {f"{split}/{key}_last": last[key] for key in chosen}
    if outcome.file:
        simulated = measure.predict(model, data.test_dataloader(), data.task)
        metrics |= quality.agreement(stage.word, test, simulated, data.task)
    metrics |= quality.by_class(test, data) | quality.of_texts(predictor, test, data)
    if stage.uses_teacher:
        metrics |= quality.similarity(stage, model, inputs.teachers, ctx)
    metrics |= {f"size/{k}": v for k, v in measure.size(model).items()}
    if any(not isinstance(op, model_spec.InputAdapter) for op in outcome.spec.operations):
        rates = model_spec.rates(outcome.spec, model, ctx.trusted)
        metrics |= {f"gone/{layer}": rate for layer, rate in rates.items()}
    metrics |= costs.files(outcome, folder)
    metrics |= costs.packed(table(outcome.spec, model))
    with torch.no_grad():
        metrics |= {f"compute/{k}": v for k, v in measure.compute(model, data.example()).items()}
    bits = costs.widths(outcome.spec.operations)
    metrics |= {f"bits/{layer}": pair[0] for layer, pair in bits.items()}
    metrics |= {f"energy/{k}": v for k, v in measure.energy(model, data.example(), bits).items()}
    metrics |= costs.running(outcome, ctx)
    return metrics | outcome.metrics | provenance()


def unmeasured(outcome: StageResult, folder: Path) -> dict[str, Any]:
    """What is known of a deployed file without running it."""
    none = dict.fromkeys(("val/accuracy", "test/accuracy"))
    sizes = {f"size/{k}": v for k, v in measure.size(outcome.model).items()}
    packed = costs.packed(table(outcome.spec, outcome.model))
    own = {**costs.files(outcome, folder), **packed, **outcome.metrics}
    return {**none, **sizes, **own, **provenance()}


def batches(loader: Any, raw: bool) -> Any:
    """A loader's batches, images as they are stored where ``raw``; [] is no loader."""
    return loader.raw() if raw and loader else loader


def check_invariants(
    stage: Stage, outcome: StageResult, inputs: StageInputs, ctx: RunContext
) -> dict[str, str | float]:
    """What was asked for, as it is read from the weights: a law at the end of every stage.

    Raises:
        CondenserError: the weights do not have what was asked for, or no longer what earlier stages
            made.
    """
    metrics: dict[str, str | float] = {}
    image = ctx.data.example(1)
    for promise in outcome.promises:
        with torch.no_grad():
            amount = float(promise.read(outcome.model, image))
        if not promise.kept(amount):
            raise CondenserError(f"{stage.label}: {stage.word}.{promise.broken(amount)}")
        if not metrics:
            metrics = {"achieved": amount, "achieved_of": promise.what}
    if inputs.source is not None and stage.takes_model:
        torn = violations(*inputs.source.load(ctx.trusted), outcome.spec, outcome.model)
        if torn:
            what = ", ".join(f"{name} ({operation})" for name, operation in torn.items())
            raise CondenserError(f"{stage.label} undid what stages before it made of {what}")
    return {f"{stage.word}/{key}": fact for key, fact in metrics.items()}


def provenance() -> dict[str, Any]:
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    return {
        "commit": measure.commit(),
        "hardware": measure.hardware(),
        "versions": measure.versions(),
        "date": now,
    }
