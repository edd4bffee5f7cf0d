"""Before training: whether what `measure` asks for can be measured, and what it will cost."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from time import perf_counter
from typing import Any

import torch
from torch import nn

from condenser.capture import evaluating
from condenser.errors import ConfigError
from condenser.measure.behaviour.attribution import EXTRAS, STEPS
from condenser.measure.behaviour.corruptions import CORRUPTIONS, SEVERITIES, corrupted
from condenser.measure.counters import domains
from condenser.pipeline.behaviour import robustness
from condenser.pipeline.console import duration
from condenser.pipeline.stages import RunContext, Stage
from condenser.pipeline.stages.teacher import Teacher
from condenser.tasks import Multiclass

BATCH = 64  # images of the forward pass that is timed
STEP = 3  # a training step or a gradient, in forward passes


def check(asked: Mapping[str, Any], stages: Sequence[Stage], ctx: RunContext) -> None:
    """ConfigError for what these data, this recipe or this environment cannot have."""
    for name in asked:
        if name != "energy" and ctx.data.task.word != Multiclass.word:
            allowed = f"none for data that is {ctx.data.task.word}: it needs one class a sample"
            raise ConfigError("measure", name, allowed)
    if "robustness" in asked:
        check_images(asked["robustness"], ctx)
    if "energy" in asked and not domains():
        allowed = "none where no counter can be read (/sys/class/powercap, often root's alone)"
        raise ConfigError("measure", "energy", allowed)
    if "attribution" in asked and ctx.data.vocabulary is not None:
        allowed = "none for token ids: it follows the gradient of an input"
        raise ConfigError("measure", "attribution", allowed)
    if "attribution" in asked and find_spec("captum") is None:
        needed = " ".join(EXTRAS["attribution"].values())
        raise ConfigError("measure", "attribution", "none without captum", f"pip install {needed}")
    if count := asked.get("privacy", {}).get("shadows", 0):
        check_shadows(count, stages, ctx)


def check_images(own: Mapping[str, Any], ctx: RunContext) -> None:
    robustness.ingredients(own, ctx.data)
    if ctx.data.raw != torch.uint8 or ctx.data.input_shape[0] not in (1, 3):
        kind = f"{ctx.data.raw} with {ctx.data.input_shape[0]} channels"
        allowed = f"none for data that is {kind}: it needs pixels in uint8, 1 or 3 channels"
        raise ConfigError("measure", "robustness", allowed)


def check_shadows(count: int, stages: Sequence[Stage], ctx: RunContext) -> None:
    key, first = "measure.privacy.shadows", start(stages)
    if count % 2:
        raise ConfigError(key, count, "even: two by two they have complementary halves")
    if ctx.process_group.size > 1:
        raise ConfigError(key, count, "0 where several processes train")
    if isinstance(first, Teacher) and first.settings["load"] is not None:
        raise ConfigError(key, count, "0 where teacher.load is set: its training is not repeated")
    if ctx.data.train_size < 2 * ctx.data.num_classes:
        raise ConfigError(key, count, "0 where there are fewer than two training samples a class")


def start(stages: Sequence[Stage]) -> Stage:
    """The stage whose network the others are compared with, and reference networks are made as."""
    return next((stage for stage in stages if stage.teaches), stages[0])


def estimate(asked: Mapping[str, Any], stages: Sequence[Stage], ctx: RunContext) -> Iterator[str]:
    """A line a section: at most how long, of what; what is in the store already costs nothing."""
    seconds = {id(stage): per_image(stage.example(ctx), ctx) for stage in stages}
    forward, first = sum(seconds.values()), seconds[id(start(stages))]
    for name, own in asked.items():
        passes, more, made_of = COSTS[name](own, ctx)
        took, what = passes * forward + more * len(stages), f"{made_of}, {len(stages)} networks"
        if shadows := own.get("shadows", 0):
            epochs = start(stages).settings["optim"]["epochs"]
            took += shadows * first * (ctx.data.train_size / 2 * epochs * STEP + 2 * own["samples"])
            what += f"; {shadows} reference networks, {epochs} epochs on half the training set each"
        yield f"measure: {name} takes about {duration(took)} at most ({what})"


def per_image(model: nn.Module, ctx: RunContext) -> float:
    """Seconds of a forward pass, an image, in batches."""
    images = ctx.data.example(min(BATCH, ctx.data.train_size))
    with evaluating(model):
        model(images)
        began = perf_counter()
        model(images)
    return (perf_counter() - began) / len(images)


Cost = tuple[float, float, str]
"""(images through each network, seconds a network beside that, what of)"""


def of_privacy(own: Mapping[str, Any], ctx: RunContext) -> Cost:
    count = min(own["samples"], ctx.data.train_size, len(ctx.data.parts.test.targets))
    return 2 * count, 0, f"{2 * count:,} samples"


def of_robustness(own: Mapping[str, Any], ctx: RunContext) -> Cost:
    tests = len(ctx.data.parts.test.targets)
    images, attacked = min(own["images"], tests), min(own["attacked"], tests)
    sets = 1 + len(own["ood"]) + 75 * own["corruptions"]
    steps = own["steps"] + 1
    passes = images * sets + attacked * (steps * STEP + 3)
    attack = f" and {steps} steps of attacks on {attacked:,}" if attacked else ""
    corrupting = images * per_corruption(ctx) if own["corruptions"] else 0
    return passes, corrupting, f"{sets} sets of {images:,} images{attack}"


def per_corruption(ctx: RunContext) -> float:
    """Seconds of all corruptions at all severities, an image."""
    images = ctx.data.pixels(min(8, ctx.data.train_size))
    began = perf_counter()
    for name in CORRUPTIONS:
        corrupted(name, 3, images, torch.arange(len(images)))
    return (perf_counter() - began) * len(SEVERITIES) / len(images)


def of_energy(own: Mapping[str, Any], ctx: RunContext) -> Cost:
    repeats, seconds = own["repeats"], own["seconds"]
    return 0, (repeats + 1) * seconds, f"{repeats} times {seconds} s and as long idle"


def of_churn(own: Mapping[str, Any], ctx: RunContext) -> Cost:
    return 0, 0, "the test answers that are there"


def of_attribution(own: Mapping[str, Any], ctx: RunContext) -> Cost:
    images = min(own["images"], len(ctx.data.parts.test.targets))
    return 3 * images * (STEPS + 2) * STEP, 0, f"3 methods on {images:,} images"


COSTS = {
    "privacy": of_privacy,
    "robustness": of_robustness,
    "churn": of_churn,
    "attribution": of_attribution,
    "energy": of_energy,
}
