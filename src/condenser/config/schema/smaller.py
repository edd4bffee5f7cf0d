"""What makes a network smaller, what it must keep to, and the file it becomes."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from condenser.config.schema.base import (
    Bits,
    Bytes,
    Count,
    Open,
    Positive,
    Rate,
    Section,
    Seed,
    Threads,
    Whole,
)
from condenser.config.schema.learning import Teachers, Trained


class Repair(Section):
    """X.repair: without training; see compress/repair."""

    images: Whole
    least_squares: bool
    batch_norms: bool
    bias: bool


class Repaired(Trained, Open):
    repair: Repair | None = None


class Prune(Repaired):
    rate: Rate | None = None
    until: Rate | None = None


class Smaller(Repaired):
    """sparse, cut, share, merge, factorize: settings of the class that ``_target_`` names."""


class Quantize(Trained, Open):
    bits: Bits | None = None
    activation_bits: Bits | None = None
    first_last: Bits | None = None
    budget: Bytes | None = None
    images: Count


class Budget(Section):
    """budget: what the network of recipe=budget must keep to, and what is tried for it."""

    packed_bytes: Bytes | None
    file_bytes: Bytes | None
    latency_ms: Positive | None
    macs: Count | None
    min_accuracy: Annotated[float, Field(gt=0, le=1)] | None
    n_trials: Count
    rate: Annotated[list[Rate], Field(min_length=2, max_length=2)]
    bits: Annotated[list[Bits], Field(min_length=2, max_length=2)]
    coding: Annotated[list[Literal["share", "quantize"]], Field(min_length=1)]
    activation_bits: Bits | None
    epochs: Whole
    objective: Literal["auto", "distill", "labels"]
    teachers: Teachers
    seed: Seed
    sampler: Open


class Export(Section):
    target: Literal["onnx", "openvino", "executorch"]
    input: Literal["float32", "uint8"]
    output: Literal["float32", "uint8"]
    layout: Literal["NCHW", "NHWC"]
    dynamic: bool
    measure: bool
    batch: Count
    threads: Threads
