"""Networks in their roles, what they learn from, and for how long."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from condenser.config.schema.base import (
    TARGET,
    Count,
    Finite,
    NotNegative,
    Open,
    Ours,
    Positive,
    Rate,
    Section,
    Seed,
    Share,
    Side,
    Whole,
)

Ensemble = Literal["mean", "learned", "random"] | list[NotNegative]
Teachers = Literal["auto", "previous", "dense"] | list[Whole]


class Plan(Section):
    """optim: how long and with what to train."""

    optimizer: Open
    lr: Positive
    epochs: Whole
    batch_size: Count
    schedule: Open
    warmup: Rate = 0
    decay_norms: bool = True
    ema: Rate = 0
    patience: Whole = 0
    frozen: list[str] = Field([])


class Overrides(Open):
    """What replaces the shared optimizer or schedule, or without a ``_target_`` its settings."""

    target: str | None = Field(None, alias="_target_", pattern=TARGET)  # type: ignore[assignment]


class OwnPlan(Section):
    """X.optim: what a stage's training has instead of the shared plan's; null is as there."""

    optimizer: Overrides | None
    lr: Positive | None
    epochs: Whole | None = None  # of a whole file, as +optim@prune.optim=sgd
    batch_size: Count | None
    schedule: Overrides | None
    warmup: Rate | None = None
    decay_norms: bool | None = None
    ema: Rate | None = None
    patience: Whole | None = None
    frozen: list[str] | None = None


class Model(Open):
    name: str


class Role(Section):
    """student: a network in a role."""

    model: Model
    epochs: Whole | None
    optim: OwnPlan


class Seen(Section):
    """teacher.input: the images it was made for; null is as the data are."""

    size: Side | None
    mean: list[Finite] | None
    std: list[Positive] | None


class Cache(Section):
    """teacher.cache: its outputs for the training set, kept."""

    keep: Literal["auto", "none", "memory", "disk"]
    logits: Literal["float32", "float16"] | Count
    features: bool
    folder: str | None


class OthersFile(Section):
    """teacher.file: how a file of weights that other code wrote is read."""

    keys: str | dict[str, str | None] | None
    entry: str | None
    new: list[str]
    seen_validation: bool


class Layers(Section):
    """teacher.cka: layers of both networks, compared pair by pair."""

    student: Annotated[list[str], Field(min_length=1)]
    teacher: Annotated[list[str], Field(min_length=1)]


class TeacherRole(Role):
    seed: Seed
    min_accuracy: Share
    input: Seen
    cache: Cache
    load: str | None
    file: OthersFile | None = None
    cka: Literal["penultimate", "stages"] | Layers | None


class Distill(Open):
    temperature: Annotated[Positive | None, Ours] = None
    alpha: Annotated[Share | None, Ours] = None
    teachers: Literal["auto", "previous", "peer"] | list[Whole]
    ensemble: Ensemble
    model: Model | None
    inherit: Open | None
    epochs: Whole | None
    optim: OwnPlan


class Trained(Section):
    """Where a model that is there trains on."""

    objective: Literal["auto", "distill", "labels"]
    teachers: Teachers
    ensemble: Ensemble
    epochs: Whole | None
    optim: OwnPlan
