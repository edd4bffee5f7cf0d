"""Networks in their roles, what they learn from, and for how long."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from condenser.config.schema.base import (
    Count,
    Finite,
    NotNegative,
    Open,
    Ours,
    Positive,
    Section,
    Seed,
    Share,
    Side,
    Whole,
)

Vote = Literal["mean", "learned", "random"] | list[NotNegative]
Teachers = Literal["auto", "previous", "dense"] | list[Whole]


class Plan(Section):
    """optim: how long and with what to train."""

    optimizer: Open
    lr: Positive
    epochs: Count
    batch_size: Count
    schedule: Open


class PlanOrNone(Plan):
    """The same where a model is there already: 0 epochs leave it untrained."""

    epochs: Whole


class Model(Open):
    name: str


class Role(Section):
    """student: a network in a role."""

    model: Model
    optim: Plan


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
    cka: Literal["penultimate", "stages"] | Layers | None


class Distill(Open):
    temperature: Annotated[Positive | None, Ours] = None
    alpha: Annotated[Share | None, Ours] = None
    teachers: Literal["auto", "previous", "peer"] | list[Whole]
    vote: Vote
    model: Model | None
    inherit: Open | None
    optim: Plan


class Trained(Section):
    """Where a model that is there trains on."""

    objective: Literal["auto", "distill", "labels"]
    teachers: Teachers
    vote: Vote
    optim: PlanOrNone
