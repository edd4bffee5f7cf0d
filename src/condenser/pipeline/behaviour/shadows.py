"""Reference networks for attacks: the run's first network again, each on half of the training set.

Two by two they have complementary halves, so that every training sample is unknown to one of each
pair. Their logits are entries of the store.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from condenser.data import DataModule, Normalise
from condenser.data.counter_rng import uniform
from condenser.data.split import cut
from condenser.measure import Predictions
from condenser.measure.behaviour.evaluated import Evaluated
from condenser.measure.behaviour.privacy import margin
from condenser.pipeline.behaviour.case import Case
from condenser.pipeline.key import ingredients
from condenser.pipeline.stages import RunContext, Stage, StageInputs
from condenser.store import Entry, StageDir, key_of

WORD, LOGITS = "shadow", "logits.safetensors"
SEEDS = 2_000_003  # no seed of a run's own network


@dataclass(frozen=True)
class Asked:
    """Samples that a reference network is asked about: their images, targets and indices."""

    members: tuple[Tensor, Tensor, Tensor]
    others: tuple[Tensor, Tensor, Tensor]


def without(case: Case, asked: Asked, count: int) -> tuple[Tensor, Tensor, list[str]]:
    """φ of members and of others under networks that were not trained on them, count / 2 of each;
    and the keys of the networks."""
    found = [shadow(case, asked, number) for number in range(count)]
    pairs = [(found[i], found[i + 1]) for i in range(0, count, 2)]
    members = [own_half(case, asked, pair, i) for i, pair in enumerate(pairs)]
    others = [either(case, asked, pair, i) for i, pair in enumerate(pairs)]
    return torch.stack(members), torch.stack(others), [entry.key for entry in found]


def own_half(case: Case, asked: Asked, pair: tuple[Entry, Entry], number: int) -> Tensor:
    """φ of members under the one of two networks that was not trained on each."""
    first, second = (margins(entry, "members", asked.members[1]) for entry in pair)
    in_first = torch.isin(asked.members[2], halves(case.data, number)[0])
    return torch.where(in_first, second, first)


def either(case: Case, asked: Asked, pair: tuple[Entry, Entry], number: int) -> Tensor:
    """φ of others, which neither network knows, under one of them drawn for each sample."""
    first, second = (margins(entry, "others", asked.others[1]) for entry in pair)
    drawn = uniform(case.data.split_seed, asked.others[2], number, 0, 1)[:, 0]
    return torch.where(drawn < 0.5, first, second)


def margins(entry: Entry, who: str, targets: Tensor) -> Tensor:
    return margin(Predictions(load_file(entry.file(LOGITS))[who], targets))


def halves(data: DataModule, pair: int) -> tuple[Tensor, Tensor]:
    """Indices of the training samples of the two networks of a pair, stratified."""
    return cut(data.targets, 0.5, SEEDS + data.split_seed + pair)


def shadow(case: Case, asked: Asked, number: int) -> Entry:
    """The logits of a reference network, from the store or after training it."""
    half = case.data.training_on(halves(case.data, number // 2)[number % 2])
    ctx = replace(case.ctx, data=half, loggers=lambda label: [], progress=None)
    stage = reseeded(source(case), SEEDS + number)
    made_of = ingredients(stage, ctx) | {"shadow": [len(asked.members[1]), len(asked.others[1])]}
    work = partial(trained, stage, ctx, asked)
    return case.store.get_or_make(WORD, key_of(made_of), work, made_of)[0]


def source(case: Case) -> Stage:
    """The stage whose training the reference networks repeat."""
    return (case.reference or case).made.stage


def trained(stage: Stage, ctx: RunContext, asked: Asked, place: StageDir) -> Mapping[str, Any]:
    outcome = stage.work(ctx, StageInputs(), place)
    network = Evaluated(outcome.model, Normalise(ctx.data.mean, ctx.data.std))
    logits = {who: network.logits(getattr(asked, who)[0]) for who in ("members", "others")}
    save_file(logits, place.folder / LOGITS)
    return {"seconds": outcome.metrics.get("cost/train_seconds")}


def reseeded(stage: Stage, seed: int) -> Stage:
    """The same stage with other first weights and another order of samples."""
    teacher = {**stage.config["teacher"], "seed": seed}
    return type(stage)({**stage.config, "seed": seed, "teacher": teacher}, stage.position)
