"""A whole run: its data, its recipe, the machine, and every section."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from condenser.config.schema.base import (
    Count,
    Finite,
    Fraction,
    Name,
    Open,
    Positive,
    Seconds,
    Section,
    Seed,
    Threads,
)
from condenser.config.schema.behaviour import Measure
from condenser.config.schema.learning import Distill, Plan, Role, TeacherRole, Trained
from condenser.config.schema.smaller import Budget, Export, Prune, Quantize, Smaller


class Data(Open):
    name: str
    root: str | None
    val_fraction: Fraction
    limit: Count | None = None
    views: Count | None = None
    mean: list[Finite] | None = None
    std: list[Positive] | None = None
    mix: Open | None = None
    sampling: Literal["balanced"] | None = None
    class_weights: Literal["balanced"] | list[Positive] | None = None


class Recipe(Section):
    stages: Annotated[list[str | dict[str, Any]], Field(min_length=1)]


class Trainer(Section):
    accelerator: Literal["auto", "cpu", "gpu", "cuda", "mps"]
    devices: Count | Literal["auto"]
    num_nodes: Count
    strategy: Literal["auto", "ddp", "fsdp", "tensor_parallel"]
    tensor_parallel_size: Count | None
    sync_batchnorm: bool
    precision: Literal["auto", "32-true", "bf16-mixed", "bf16-true", "64-true"]
    deterministic: bool | Literal["warn"]
    threads: Threads | Literal["auto"] | None
    compile: bool
    gradient_clip_val: Positive | None = None
    accumulate_grad_batches: Count = 1
    max_time: Positive | None = None
    callbacks: list[Open] = Field([])
    checkpoint_seconds: Seconds
    progress: bool | None


class Searching(Section):
    """hydra.sweeper, where it searches."""

    maximize: list[str]
    minimize: list[str]
    n_trials: Count
    jobs: Count
    seed: Seed
    params: dict[str, Any]


class Config(Section):
    """A whole run."""

    name: Name
    run: Name
    claim: str
    seed: Seed
    runs: str
    store: str
    data: Data
    optim: Plan
    teacher: TeacherRole
    student: Role
    distill: Distill
    tune: Trained
    sparse: Smaller
    prune: Prune
    cut: Smaller
    share: Smaller
    merge: Smaller
    factorize: Smaller
    quantize: Quantize
    budget: Budget
    export: Export
    measure: Measure = Measure()
    baselines: bool | list[Literal["random", "scratch", "compute", "dense"]]
    recipe: Recipe
    trainer: Trainer
    logger: Open
