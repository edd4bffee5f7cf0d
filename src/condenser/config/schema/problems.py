"""What pydantic finds wrong, as lines that a person can act on."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, get_args

from pydantic import ValidationError

from condenser.config.schema.base import Section
from condenser.errors import shown, unknown

ALLOWED = {
    "greater_than": "> {gt:.10g}",
    "greater_than_equal": ">= {ge:.10g}",
    "less_than": "< {lt:.10g}",
    "less_than_equal": "<= {le:.10g}",
    "finite_number": "a finite number",
    "float_type": "a number",
    "int_type": "a whole number",
    "bool_type": "true or false",
    "string_type": "a word",
    "list_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "string_pattern_mismatch": "a name that matches {pattern}",
    "missing": "a value (none is given)",
    "too_short": "a list of at least {min_length}",
    "too_long": "a list of at most {max_length}",
}
# of a union, in pydantic's paths
ARM = re.compile(
    r"(nullable|str|bool|int|float|constrained-\w+)|(dict|literal|list|function-wrap)\[.*"
)


def problems(kind: type[Section], values: Mapping[str, Any], prefix: str) -> Iterator[str]:
    """A line for each bad value."""
    try:
        kind.model_validate(values)
    except ValidationError as error:
        found = error.errors()
        paths = [_path(problem) for problem in found]
        lines: dict[tuple[str, ...], list[Any]] = {}
        for problem, path in zip(found, paths, strict=True):
            if any(other[: len(path)] == path != other for other in paths):
                continue
            lines.setdefault(path, []).append(problem)
        for path, ways in lines.items():
            yield _line(kind, path, ways, prefix)


def _line(kind: type[Section], path: tuple[str, ...], ways: Sequence[Any], prefix: str) -> str:
    """What to say of a value that fails in all the ways in which it might have been good."""
    key, word = prefix + ".".join(path), ways[0]["input"]
    if ways[0]["type"] == "extra_forbidden":
        keys = [field.alias or n for n, field in _section(kind, path).model_fields.items()]
        return unknown(key, path[-1], keys, "no such key")
    subject = f"{key}={'' if ways[0]['type'] == 'missing' else shown(word)}"
    if {way["type"] for way in ways} == {"literal_error"} and isinstance(word, str):
        return unknown(subject, word, [w for way in ways for w in _words(way)])
    return f"{subject}: must be {' or '.join(dict.fromkeys(map(_allowed, ways)))}"


def _allowed(problem: Any) -> str:
    if problem["type"] == "literal_error":
        return " or ".join(_words(problem))
    return ALLOWED.get(problem["type"], problem["msg"]).format(**problem.get("ctx", {}))


def _words(problem: Any) -> list[str]:
    return re.findall(r"'([^']*)'", problem["ctx"]["expected"])


def _path(problem: Any) -> tuple[str, ...]:
    """Where the value stands in what the user wrote."""
    return tuple(str(part) for part in problem["loc"] if not ARM.fullmatch(str(part)))


def _section(kind: type[Section], path: tuple[str, ...]) -> type[Section]:
    """The model that a path leads to, its last part left out."""
    for part in path[:-1]:
        field = kind.model_fields.get(part)
        inner = field.annotation if field else None
        for one in (inner, *get_args(inner)):  # of a section that may be null
            if isinstance(one, type) and issubclass(one, Section):
                kind = one
    return kind
