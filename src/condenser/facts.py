"""What is measured of a stage's result, whatever run it stands in."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from condenser.errors import CondenserError
from condenser.stages import Given, Outcome, Stage, Workbench
from condenser.store import Entry

if TYPE_CHECKING:
    from torch import nn

    from condenser.compress import Operation
    from condenser.data import DataModule
    from condenser.measure import Predictions, Widths
    from condenser.pack import Row
    from condenser.tasks import Task

LOGITS = "test_logits.safetensors"
IMAGES = 1000  # that features are compared on


def measured(
    stage: Stage, outcome: Outcome, bench: Workbench, folder: Path, given: Given
) -> dict[str, Any]:
    """Save the outcome and measure all that does not depend on the run around it."""
    import torch

    from condenser import blueprint, deploy, measure
    from condenser.pack import table

    data, model = bench.data, outcome.model
    blueprint.save(folder, outcome.blueprint, model)
    predictor = deploy.session(outcome.file, outcome.threads) if outcome.file else model
    raw = isinstance(predictor, deploy.Session) and predictor.pixels
    test = measure.predict(predictor, batches(data.test_dataloader(), raw))
    save_logits(folder, test)
    val = graded(measure.predict(predictor, batches(data.val_dataloader(), raw)), data.task)
    best = graded(test, data.task)
    facts = {f"test/{k}": v for k, v in best.items()} | {"val/accuracy": val["accuracy"]}
    facts |= {"val/accuracy_last": val["accuracy"], "test/accuracy_last": best["accuracy"]}
    if outcome.last is not None:
        for split, loader in (("val", data.val_dataloader()), ("test", data.test_dataloader())):
            last = graded(measure.predict(outcome.last, loader), data.task)
            facts[f"{split}/accuracy_last"] = last["accuracy"]
    if outcome.file:
        simulated = measure.predict(model, data.test_dataloader())
        facts |= agreement(stage.word, test, simulated, data.task)
    facts |= by_class(test, data)
    if stage.uses_teacher:
        facts |= similarity(stage, model, given.teachers, bench)
    facts |= {f"size/{k}": v for k, v in measure.size(model).items()}
    if any(not isinstance(op, blueprint.Lens) for op in outcome.blueprint.operations):
        rates = blueprint.rates(outcome.blueprint, model, bench.trusted)
        facts |= {f"gone/{layer}": rate for layer, rate in rates.items()}
    facts |= files(outcome, folder)
    facts |= packed(table(outcome.blueprint, model))
    with torch.no_grad():
        facts |= {f"compute/{k}": v for k, v in measure.compute(model, data.example()).items()}
    bits = widths(outcome.blueprint.operations)
    facts |= {f"bits/{layer}": pair[0] for layer, pair in bits.items()}
    facts |= {f"energy/{k}": v for k, v in measure.energy(model, data.example(), bits).items()}
    facts |= running(outcome, bench)
    return facts | outcome.facts | provenance()


def batches(loader: Any, raw: bool) -> Any:
    """A loader's batches, images as they are stored where ``raw``; [] is no loader."""
    return loader.raw() if raw and loader else loader


def widths(operations: Sequence[Operation]) -> Widths:
    """Bits of the weights and inputs of the layers that were quantised."""
    from condenser.compress import Quantized

    made = [op for op in operations if isinstance(op, Quantized)]
    return {layer: op.bits_of(layer) for op in made for layer in op.layers}


def graded(predictions: Predictions, task: Task) -> dict[str, float | None]:
    """Their quality; none of a network that was made for another task."""
    from condenser import measure

    if predictions.logits.shape[1] != task.outputs:
        return dict.fromkeys(("accuracy", "top5", "ece", "nll"))
    return measure.quality(predictions, task=task)


def beside_teachers(entry: Entry, teachers: Sequence[Entry], bench: Workbench) -> dict[str, Any]:
    """What its answers on the test images are beside its teachers', these averaged as logits."""
    import torch

    from condenser import measure

    given = [load_logits(teacher).logits for teacher in teachers]
    own = load_logits(entry)
    if any(logits.shape != own.logits.shape for logits in given):
        return {}  # teachers of another task
    logits, task = torch.stack(given).mean(0), bench.data.task
    beside = measure.quality(own, logits, task)
    damage = measure.damage(own, logits, bench.data.classes, task)
    found = {k[8:]: v for k, v in beside.items() if k.startswith("teacher_")} | damage
    return {f"teacher/{key}": value for key, value in found.items()}


def keep_promises(stage: Stage, outcome: Outcome, given: Given, bench: Workbench) -> None:
    """CondenserError where what earlier stages made is not there any more: a fault of ours."""
    from condenser.blueprint import lost

    if given.source is None or not stage.takes_model:
        return
    torn = lost(*given.source.load(bench.trusted), outcome.blueprint, outcome.model)
    if torn:
        what = ", ".join(f"{name} ({operation})" for name, operation in torn.items())
        raise CondenserError(f"{stage.label} undid what stages before it made of {what}")


def by_class(test: Predictions, data: DataModule) -> dict[str, float | None]:
    """Test accuracy of each class; nothing of a network that was made for another task."""
    from condenser import measure

    if test.logits.shape[1] != data.task.outputs:
        return {}
    found = measure.accuracy_by_class(test, data.classes, data.task)
    return {f"class/{name}": value for name, value in found.items()}


def similarity(
    stage: Stage, model: nn.Module, teachers: Sequence[Entry], bench: Workbench
) -> dict[str, float]:
    """Linear CKA with the teacher on training images; nothing where there are several teachers, or
    where ``teacher.cka`` leaves the layers to be found and a network has none of the kind."""
    from condenser import measure
    from condenser.capture import penultimate_pair, stage_pairs

    asked = stage.config["teacher"]["cka"]
    if asked is None or len(teachers) != 1:
        return {}
    _, teacher = teachers[0].load(bench.trusted)
    images = bench.data.calibration(min(IMAGES, bench.data.train_size))
    if isinstance(asked, Mapping):
        pairs = asked["student"], asked["teacher"]
    else:
        find = {"penultimate": penultimate_pair, "stages": stage_pairs}[asked]
        try:
            pairs = find(model, teacher, images[:2])
        except CondenserError:
            return {}
    found = measure.cka(model, teacher, images, pairs)
    deepest = {"cka/teacher": list(found.values())[-1]}
    return deepest | ({f"cka/{k}": v for k, v in found.items()} if len(found) > 1 else {})


def agreement(word: str, file: Predictions, simulated: Predictions, task: Task) -> dict[str, float]:
    """How far a deployed file's answers are from those of the network it was made of."""
    same = (task.decide(file.logits) == task.decide(simulated.logits)).float().mean()
    difference = (file.logits - simulated.logits).abs().max()
    return {
        f"{word}/agreement": round(same.item(), 7),
        f"{word}/max_difference": difference.item(),
    }


def files(outcome: Outcome, folder: Path) -> dict[str, Any]:
    """Bytes of what would be shipped."""
    from condenser import deploy

    if outcome.file is not None:
        kind = {suffix: target for target, suffix in deploy.SUFFIX.items()}[outcome.file.suffix]
        return {"size/file_bytes": deploy.size(outcome.file), "size/file_format": kind}
    size = sum((folder / name).stat().st_size for name in ("model.json", "weights.safetensors"))
    return {"size/file_bytes": size, "size/file_format": "safetensors"}


def packed(rows: Sequence[Row]) -> dict[str, int]:
    """Bytes of the packed file, in all and of each layer, and how many numbers a layer stores."""
    facts = {"size/packed_bytes": sum(row.bytes for row in rows)}
    for row in rows:
        name = row.name.partition(".parametrizations.")[0].partition(".input_quantizer.")[0]
        layer = name if name != row.name else name.rpartition(".")[0] or name
        for key, value in ((f"packed/{layer}", row.bytes), (f"entries/{layer}", row.entries)):
            facts[key] = facts.get(key, 0) + value
    return facts


def running(outcome: Outcome, bench: Workbench) -> dict[str, Any]:
    """Time, memory and counted energy of one image; no time of a network that only simulates
    integers, memory of files alone."""
    from condenser import deploy, measure
    from condenser.compress import Quantized

    data = bench.data
    if outcome.file is None and any(isinstance(o, Quantized) for o in outcome.blueprint.operations):
        none = dict.fromkeys(("ms_b1", "iqr_b1", "threads"))
        return {f"latency/{k}": v for k, v in {**none, "runtime": "simulated"}.items()}
    facts: dict[str, Any] = {}
    if outcome.file is None:
        times = measure.torch_latency(outcome.model, data.example())
        call = measure.torch_call(outcome.model, data.example())
    else:
        session = deploy.session(outcome.file, outcome.threads)
        call = session.call(data.pixels() if session.pixels else data.example())
        times = measure.call_latency(call, 1, session.runtime, session.threads)
        facts["memory/peak_bytes"] = deploy.peak_bytes(outcome.file, outcome.threads)
    with measure.evaluating(outcome.model), measure.settled(outcome.threads):
        counted = measure.joules(call)
    if counted is not None:
        facts["energy/counted_uj"] = 1e6 * counted
    return facts | {f"latency/{k}": v for k, v in times.items()}


def provenance() -> dict[str, Any]:
    from condenser import measure

    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    return {
        "commit": measure.commit(),
        "hardware": measure.hardware(),
        "versions": measure.versions(),
        "date": now,
    }


def save_logits(folder: Path, test: Predictions) -> None:
    from safetensors.torch import save_file

    save_file(test._asdict(), folder / LOGITS)


def load_logits(entry: Entry) -> Predictions:
    """What a stored model answered on the test images."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    from condenser.files import damaged
    from condenser.measure import Predictions

    try:
        return Predictions(**load_file(entry.file(LOGITS)))
    except (OSError, SafetensorError, TypeError) as error:
        raise damaged(entry.file(LOGITS)) from error
