"""What a composed config may hold. Read in a tenth of a second, before torch is imported."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from condenser.errors import CondenserError, nearest, one_of

Temperature = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Alpha = Annotated[float, Field(ge=0, le=1)]
Rate = Annotated[float, Field(ge=0, lt=1)]
Bits = Annotated[int, Field(ge=1, le=8)]
Count = Annotated[int, Field(ge=1)]
Fraction = Annotated[float, Field(gt=0, lt=1)]
Target = Annotated[str, Field(alias="_target_", pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)+$")]


class Section(BaseModel):
    """A mapping whose keys are all known."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Open(Section):
    """A mapping that names a class by ``_target_`` and holds that class's own settings."""

    model_config = ConfigDict(extra="allow")
    target: Target


class Plan(Section):
    """optim: how long and with what to train."""

    optimizer: Open
    lr: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    epochs: Count
    batch_size: Count
    schedule: Open


class PlanOrNone(Plan):
    """The same where a model is there already: 0 epochs leave it untrained."""

    epochs: Annotated[int, Field(ge=0)]


class Model(Open):
    name: str


class Role(Section):
    """student: a network in a role."""

    model: Model
    optim: Plan


class Seen(Section):
    """teacher.input: the images it was made for; null is as the data are."""

    size: Count | None
    mean: list[float] | None
    std: list[Annotated[float, Field(gt=0, allow_inf_nan=False)]] | None


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
    seed: Annotated[int, Field(ge=0)]
    min_accuracy: Annotated[float, Field(ge=0, le=1)]
    input: Seen
    cache: Cache
    load: str | None
    cka: Literal["penultimate", "stages"] | Layers | None


Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Vote = Literal["mean", "learned", "random"] | list[Weight]
Teachers = Literal["auto", "previous", "dense"] | list[Annotated[int, Field(ge=0)]]


class Distill(Open):
    temperature: Temperature | None = None
    alpha: Alpha | None = None
    teachers: Literal["auto", "previous", "peer"] | list[Annotated[int, Field(ge=0)]]
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


class Prune(Trained, Open):
    rate: Rate | None = None
    until: Annotated[float, Field(ge=0, lt=1)] | None = None


class Smaller(Trained, Open):
    """cut, share, merge, factorize: settings of the class that ``_target_`` names."""


class Quantize(Trained, Open):
    bits: Bits | None = None
    activation_bits: Bits | None = None
    first_last: Bits | None = None
    budget: Count | None = None
    images: Count


class Budget(Section):
    """budget: what the network of recipe=budget must keep to, and what is tried for it."""

    packed_bytes: Count | None
    min_accuracy: Annotated[float, Field(gt=0, le=1)] | None
    n_trials: Count
    rate: Annotated[list[Rate], Field(min_length=2, max_length=2)]
    bits: Annotated[list[Annotated[int, Field(ge=1, le=8)]], Field(min_length=2, max_length=2)]
    coding: Annotated[list[Literal["share", "quantize"]], Field(min_length=1)]
    activation_bits: Bits | None
    epochs: Annotated[int, Field(ge=0)]
    objective: Literal["auto", "distill", "labels"]
    teachers: Teachers
    seed: Annotated[int, Field(ge=0)]
    sampler: Open


class Export(Section):
    target: Literal["onnx", "openvino", "executorch"]
    input: Literal["float32", "uint8"]
    output: Literal["float32", "uint8"]
    dynamic: bool
    batch: Count
    threads: Count


class Data(Open):
    name: str
    root: str | None
    val_fraction: Fraction
    limit: Count | None = None
    views: Count | None = None


class Recipe(Section):
    stages: Annotated[list[str | dict[str, Any]], Field(min_length=1)]


class Trainer(Section):
    accelerator: Literal["auto", "cpu", "gpu", "cuda", "mps"]
    devices: Count | Literal["auto"]
    num_nodes: Count
    strategy: Literal["auto", "ddp", "fsdp", "tensor_parallel"]
    tensor_parallel_size: Count | None
    sync_batchnorm: bool
    precision: Literal["32-true", "bf16-mixed", "bf16-true", "64-true"]
    deterministic: bool | Literal["warn"]
    threads: Count | None
    compile: bool
    checkpoint_seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    progress: bool | None


class Searching(Section):
    """hydra.sweeper, where it searches."""

    maximize: list[str]
    minimize: list[str]
    n_trials: Count
    jobs: Count
    seed: Annotated[int, Field(ge=0)]
    params: dict[str, Any]


class Config(Section):
    """A whole run."""

    name: Annotated[str, Field(pattern=r"^[\w.-]+$")]
    run: str
    claim: str
    seed: Annotated[int, Field(ge=0, lt=2**32)]
    runs: str
    store: str
    data: Data
    optim: Plan
    teacher: TeacherRole
    student: Role
    distill: Distill
    tune: Trained
    prune: Prune
    cut: Smaller
    share: Smaller
    merge: Smaller
    factorize: Smaller
    quantize: Quantize
    budget: Budget
    export: Export
    controls: bool | list[Literal["random", "scratch", "compute", "dense"]]
    recipe: Recipe
    trainer: Trainer
    logger: Open


def check(config: Mapping[str, Any]) -> None:
    """Every problem of a resolved config at once, one line each.

    Raises:
        CondenserError: naming key, value and what is allowed of each bad value.
    """
    check_as(Config, config, "")


def check_as(kind: type[Section], values: Mapping[str, Any], prefix: str) -> None:
    """The same for any mapping; ``prefix`` goes before its keys."""
    problems = list(_problems(kind, values, prefix))
    if problems:
        raise CondenserError("\n".join(problems))


def check_section(name: str, section: Mapping[str, Any], where: str) -> None:
    """The same for a stage's section after a recipe entry's overrides; ``where`` prefixes keys."""
    if kind := _sections().get(name):
        check_as(kind, section, f"{where}{name}.")


def of_stage(name: str, section: Mapping[str, Any]) -> dict[str, Any]:
    """What the stage itself needs of its section: what is left when another class takes it over."""
    kind = _sections().get(name, Section)
    needed = {word for word, field in kind.model_fields.items() if field.is_required()}
    return {key: value for key, value in section.items() if key in needed}


def _sections() -> dict[str, type[Section]]:
    kinds = {name: field.annotation for name, field in Config.model_fields.items()}
    return {n: k for n, k in kinds.items() if isinstance(k, type) and issubclass(k, Section)}


def _problems(kind: type[Section], values: Mapping[str, Any], prefix: str) -> Iterator[str]:
    """A line for each bad value; one that stages inherit from ``optim`` is named there only."""
    try:
        kind.model_validate(values)
    except ValidationError as error:
        found = error.errors()
        shared = {(p["loc"][-1], repr(p["input"])) for p in found if p["loc"][0] == "optim"}
        paths = [_path(problem) for problem in found]
        lines: dict[str, list[str]] = {}
        hints: dict[str, str] = {}
        for problem, path in zip(found, paths, strict=True):
            inherited = "optim" in path[1:] and (path[-1], repr(problem["input"])) in shared
            if inherited or any(other[: len(path)] == path != other for other in paths):
                continue
            subject, allowed = _read(kind, problem, path, prefix)
            lines.setdefault(subject, []).append(allowed)
            hints[subject] = hints.get(subject) or _meant(problem)
        for subject, ways in lines.items():
            yield f"{subject}: allowed is {' or '.join(dict.fromkeys(ways))}{hints[subject]}"


ALLOWED = {
    "greater_than": "a number above {gt:.10g}",
    "greater_than_equal": "a number of at least {ge:.10g}",
    "less_than": "a number below {lt:.10g}",
    "less_than_equal": "a number of at most {le:.10g}",
    "finite_number": "a finite number",
    "float_type": "a number",
    "int_type": "a whole number",
    "bool_type": "true or false",
    "string_type": "a word",
    "list_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "literal_error": "{expected}",
    "string_pattern_mismatch": "a name that matches {pattern}",
    "missing": "a value (none is given)",
    "too_short": "a list of at least {min_length}",
    "too_long": "a list of at most {max_length}",
}


def _read(kind: type[Section], problem: Any, path: tuple[str, ...], prefix: str) -> tuple[str, str]:
    """What is wrong, and what is allowed instead."""
    key = prefix + ".".join(path)
    if problem["type"] == "extra_forbidden":
        keys = [f.alias or n for n, f in _section(kind, path).model_fields.items()]
        hint = nearest(path[-1], keys)
        return f"{key}: no such key", one_of(keys) + (f"; {hint}" if hint else "")
    allowed = ALLOWED.get(problem["type"], problem["msg"])
    value = "" if problem["type"] == "missing" else problem["input"]
    shown = "null" if value is None else value
    return f"{key}={shown}", allowed.format(**problem.get("ctx", {}))


def _meant(problem: Any) -> str:
    """The word of a fixed list that is most like what was written, as the end of a sentence."""
    if problem["type"] != "literal_error" or not isinstance(problem["input"], str):
        return ""
    hint = nearest(problem["input"], re.findall(r"'([^']*)'", problem["ctx"]["expected"]))
    return f"; {hint}" if hint else ""


ARM = re.compile(r"(str|bool)|(dict|literal|list)\[.*")  # of a union, in pydantic's paths


def _path(problem: Any) -> tuple[str, ...]:
    """Where the value stands in what the user wrote."""
    return tuple(str(part) for part in problem["loc"] if not ARM.fullmatch(str(part)))


def _section(kind: type[Section], path: tuple[str, ...]) -> type[Section]:
    """The model that a path leads to, its last part left out."""
    for part in path[:-1]:
        field = kind.model_fields.get(part)
        inner = field.annotation if field else None
        if isinstance(inner, type) and issubclass(inner, Section):
            kind = inner
    return kind
