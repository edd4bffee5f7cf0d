"""What a composed config may hold. Read in a tenth of a second, before torch is imported."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from condenser.errors import ConfigError, CondenserError, nearest, one_of

Temperature = Annotated[float, Field(gt=0)]
Alpha = Annotated[float, Field(ge=0, le=1)]
Rate = Annotated[float, Field(ge=0, lt=1)]
Bits = Annotated[int, Field(ge=2, le=8)]
Count = Annotated[int, Field(ge=1)]
Fraction = Annotated[float, Field(gt=0, lt=1)]
Target = Annotated[str, Field(alias="_target_", pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)+$")]


class Section(BaseModel):
    """A mapping whose keys are all known."""

    model_config = ConfigDict(extra="forbid", strict=False, populate_by_name=False)


class Open(Section):
    """A mapping that names a class by ``_target_`` and holds that class's own settings."""

    model_config = ConfigDict(extra="allow")
    target: Target


class Plan(Section):
    """optim: how long and with what to train."""

    optimizer: Open
    lr: Annotated[float, Field(gt=0)]
    epochs: Count
    batch_size: Count
    schedule: Open


class Model(Open):
    name: str


class Role(Section):
    """student: a network in a role."""

    model: Model
    optim: Plan


class TeacherRole(Role):
    seed: Annotated[int, Field(ge=0)]
    min_accuracy: Annotated[float, Field(ge=0, le=1)]


class Distill(Open):
    temperature: Temperature | None = None
    alpha: Alpha | None = None
    optim: Plan


class Prune(Open):
    rate: Rate | None = None
    until: Annotated[float, Field(ge=0, lt=1)] | None = None
    objective: Literal["auto", "distill", "labels"]
    optim: Plan


class Quantize(Open):
    bits: Bits | None = None
    activation_bits: Bits | None = None
    images: Count


class Export(Section):
    batch: Count
    threads: Count


class Data(Open):
    name: str
    root: str | None
    val_fraction: Fraction
    limit: Count | None = None
    views: Count | None = None


class Recipe(Section):
    stages: Annotated[list[str | dict[str, dict[str, Any]]], Field(min_length=1)]


class Trainer(Section):
    accelerator: Literal["auto", "cpu", "gpu", "cuda", "mps"]
    devices: Count
    precision: str
    deterministic: bool | Literal["warn"]
    threads: Count | None
    compile: bool
    progress: bool | None


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
    prune: Prune
    quantize: Quantize
    export: Export
    recipe: Recipe
    trainer: Trainer
    logger: Open


def check(config: Mapping[str, Any]) -> None:
    """Every problem of a resolved config at once, one line each.

    Raises:
        CondenserError: naming key, value and what is allowed of each bad value.
    """
    problems = list(_problems(Config, config, ""))
    if problems:
        raise CondenserError("\n".join(problems))


def check_section(name: str, section: Mapping[str, Any], where: str) -> None:
    """The same for one stage's section after a recipe entry's overrides; ``where`` prefixes keys."""
    field = Config.model_fields.get(name)
    kind = field.annotation if field else None
    if isinstance(kind, type) and issubclass(kind, Section):
        problems = list(_problems(kind, section, f"{where}{name}."))
        if problems:
            raise CondenserError("\n".join(problems))


def _problems(kind: type[Section], values: Mapping[str, Any], prefix: str) -> Iterator[str]:
    """A line for each bad value; one that stages inherit from ``optim`` is named there only."""
    try:
        kind.model_validate(values)
    except ValidationError as error:
        shared = {(p["loc"][-1], repr(p["input"])) for p in error.errors() if p["loc"][0] == "optim"}
        lines = [
            _line(kind, problem, prefix)
            for problem in error.errors()
            if problem["loc"][0] == "optim"
            or "optim" not in problem["loc"]
            or (problem["loc"][-1], repr(problem["input"])) not in shared
        ]
        yield from dict.fromkeys(lines)


def _line(kind: type[Section], problem: Any, prefix: str) -> str:
    path = [str(part) for part in problem["loc"] if part in _words(problem)]
    key, context = prefix + ".".join(path), problem.get("ctx", {})
    allowed = {
        "greater_than": "a number above {gt:g}",
        "greater_than_equal": "a number of at least {ge:g}",
        "less_than": "a number below {lt:g}",
        "less_than_equal": "a number of at most {le:g}",
        "float_parsing": "a number",
        "float_type": "a number",
        "int_parsing": "a whole number",
        "int_type": "a whole number",
        "int_from_float": "a whole number",
        "bool_parsing": "true or false",
        "literal_error": "{expected}",
        "string_pattern_mismatch": "a name that matches {pattern}",
        "extra_forbidden": "no such key",
        "missing": "a value (none is given)",
        "too_short": "at least {min_length} entries",
    }.get(problem["type"], problem["msg"][:1].lower() + problem["msg"][1:])
    value = "" if problem["type"] == "missing" else problem["input"]
    hint = ""
    if problem["type"] == "extra_forbidden":
        keys = [f.alias or n for n, f in _section(kind, problem["loc"]).model_fields.items()]
        allowed, hint = one_of(keys), nearest(path[-1], keys)
        return f"{key}: no such key; allowed is {allowed}" + (f"; {hint}" if hint else "")
    return str(ConfigError(key, value, allowed.format(**context), hint))


def _words(problem: Any) -> list[Any]:
    """The parts of pydantic's path that a user wrote: not the arms of a union."""
    arms = ("str", "dict", "bool", "int", "float", "function", "literal")
    return [p for p in problem["loc"] if not str(p).startswith(arms)]


def _section(kind: type[Section], path: tuple[Any, ...]) -> type[Section]:
    """The model that a path leads to, its last part left out."""
    for part in path[:-1]:
        field = kind.model_fields.get(str(part))
        inner = field.annotation if field else None
        if isinstance(inner, type) and issubclass(inner, Section):
            kind = inner
    return kind
