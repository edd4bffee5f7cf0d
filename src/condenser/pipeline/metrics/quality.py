"""How good a network's answers are, by themselves and beside others'."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from condenser import measure
from condenser.capture import penultimate_pair, stage_pairs
from condenser.data import DataModule
from condenser.data.tokenizing import Tokenizer
from condenser.errors import CondenserError
from condenser.files import damaged
from condenser.measure import Predictions
from condenser.pipeline.stages import RunContext, Stage
from condenser.store import Entry
from condenser.tasks import Task

LOGITS = "test_logits.safetensors"
IMAGES = 1000  # that features are compared on
MOST = 2**26  # logits that are stored, of the first decisions


def graded(predictions: Predictions, task: Task) -> dict[str, float | None]:
    """Their quality; none of a network that was made for another task."""
    if predictions.logits.shape[1] != task.outputs:
        return dict.fromkeys(("accuracy", "top5", "ece", "nll", task.chosen))
    return measure.quality(predictions, task=task)


def by_class(test: Predictions, data: DataModule) -> dict[str, float | None]:
    """Test accuracy of each class; nothing of a network that was made for another task."""
    if test.logits.shape[1] != data.task.outputs or not data.task.named:
        return {}
    found = measure.accuracy_by_class(test, data.classes, data.task)
    return {f"class/{name}": value for name, value in found.items()}


def of_texts(predictor: Any, test: Predictions, data: DataModule) -> dict[str, float]:
    """Of texts bits a character; of what is made token by token (greedy) BLEU and chrF."""
    if data.vocabulary is None or data.vocabulary.tokenizer is None or data.task.by_sample:
        return {}
    tokenizer = Tokenizer(data.vocabulary.tokenizer)
    if data.task.generates:
        found = measure.translations(predictor, data.test_dataloader(), tokenizer)
        return {f"test/{key}": value for key, value in measure.bleu_and_chrf(*found).items()}
    characters = len(tokenizer.text(test.targets.tolist()))
    nll = torch.nn.functional.cross_entropy(test.logits, test.targets, reduction="sum")
    return {"test/bits_per_character": nll.item() / math.log(2) / max(characters, 1)}


def beside_teachers(entry: Entry, teachers: Sequence[Entry], ctx: RunContext) -> dict[str, Any]:
    """What its answers on the test images are beside its teachers', these averaged as logits."""
    given = [load_logits(teacher).logits for teacher in teachers]
    own = load_logits(entry)
    if any(logits.shape != own.logits.shape for logits in given):
        return {}  # teachers of another task
    logits, task = torch.stack(given).mean(0), ctx.data.task
    beside = measure.quality(own, logits, task)
    damage = measure.damage(own, logits, ctx.data.classes, task)
    found = {k[8:]: v for k, v in beside.items() if k.startswith("teacher_")} | damage
    return {f"teacher/{key}": value for key, value in found.items()}


def similarity(
    stage: Stage, model: nn.Module, teachers: Sequence[Entry], ctx: RunContext
) -> dict[str, float]:
    """Linear CKA with the teacher on training images; nothing where there are several teachers, or
    where ``teacher.cka`` leaves the layers to be found and a network has none of the kind."""
    asked = stage.config["teacher"]["cka"]
    if asked is None or len(teachers) != 1:
        return {}
    _, teacher = teachers[0].load(ctx.trusted)
    images = ctx.data.calibration(min(IMAGES, ctx.data.train_size))
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


def save_logits(folder: Path, test: Predictions) -> None:
    rows = max(1, MOST // test.logits.shape[1])
    save_file(
        {name: part[:rows].contiguous() for name, part in test._asdict().items()}, folder / LOGITS
    )


def load_logits(entry: Entry) -> Predictions:
    """What a stored model answered on the test images."""
    try:
        return Predictions(**load_file(entry.file(LOGITS)))
    except (OSError, SafetensorError, TypeError) as error:
        raise damaged(entry.file(LOGITS)) from error
