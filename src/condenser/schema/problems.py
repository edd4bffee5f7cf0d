"""What pydantic finds wrong, as lines that a person can act on."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from condenser.errors import nearest, one_of
from condenser.schema.base import Section

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
# of a union, in pydantic's paths
ARM = re.compile(r"(str|bool|int|float|constrained-\w+)|(dict|literal|list)\[.*")


def problems(kind: type[Section], values: Mapping[str, Any], prefix: str) -> Iterator[str]:
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
