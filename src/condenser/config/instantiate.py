"""Objects from configs: the only file that calls hydra's instantiate.

``conform`` holds settings against the annotations of the classes that they are for, so that
``exclude: fc1``, where a list is meant, is told before anything is built of it.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib import import_module
from types import NoneType, SimpleNamespace, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from hydra.errors import InstantiationException
from hydra.utils import instantiate

from condenser.errors import CondenserError, shown

logging.getLogger("hydra.utils").setLevel(logging.CRITICAL)  # what it logs is in what it raises
WORDS = {int: "a whole number", float: "a number", str: "a word", bool: "true or false"}
WORDS |= {NoneType: "null"}


def build(config: Mapping[str, Any], **arguments: Any) -> Any:
    """The object that ``_target_`` names, its settings as plain Python values.

    Raises:
        CondenserError: the target cannot be found, or refuses its settings.
    """
    try:
        return instantiate(dict(config), _convert_="all", **arguments)
    except InstantiationException as error:
        raise CondenserError(reason(error, config.get("_target_"))) from error


def reason(error: InstantiationException, target: object) -> str:
    """The innermost cause in one line: a class's own refusal as it stands."""
    cause: BaseException = error
    while cause.__cause__ is not None and not isinstance(cause, CondenserError):
        cause = cause.__cause__
    text = " ".join(str(cause).split())
    return text if isinstance(cause, CondenserError) else f"{target}: {text}"


def conform(key: str, config: Mapping[str, Any]) -> None:
    """Hold the settings of what ``_target_`` names, and of all below, against its annotations.

    Raises:
        CondenserError: a line for each setting of another kind than the class takes.
    """
    if found := list(misfits(key, config)):
        raise CondenserError("\n".join(found))


def misfits(key: str, config: Mapping[str, Any]) -> Iterator[str]:
    hints = hints_of(config.get("_target_"))
    for name, value in config.items():
        hint = hints.get(name, Any)
        if not fits(value, hint):
            yield f"{dotted(key, name)}={shown(value)}: must be {said(hint)}"
        elif isinstance(value, Mapping):
            yield from misfits(dotted(key, name), value)


def dotted(key: str, name: str) -> str:
    return f"{key}.{name}" if key else name


def hints_of(target: object) -> dict[str, Any]:
    """What a class of ours or torch's says of its parameters; what cannot be told is left out."""
    if not isinstance(target, str) or not target.startswith(("condenser.", "torch.")):
        return {}
    try:
        found: Any = getattr(import_module(target.rpartition(".")[0]), target.rpartition(".")[2])
        parameters = inspect.signature(found).parameters.values()
    except Exception:  # building it will say why
        return {}
    made: Any = found.__init__ if isinstance(found, type) else found  # type: ignore[misc]
    scope = getattr(inspect.unwrap(made), "__globals__", {})
    beside = {p.name for p in parameters if p.kind == p.VAR_KEYWORD} | {"exclude"}  # says its own
    return {p.name: hint_of(p.annotation, scope) for p in parameters if p.name not in beside}


def hint_of(annotation: Any, scope: dict[str, Any]) -> Any:
    try:
        holder = SimpleNamespace(__annotations__={"it": annotation})
        return get_type_hints(holder, scope)["it"]
    except (NameError, TypeError):  # imported for a type checker only
        return Any


def fits(value: object, hint: Any) -> bool:
    """Whether a value of a config can be what the annotation says."""
    kind, parts = get_origin(hint), get_args(hint)
    if hint in (Any, object, inspect.Parameter.empty):
        return True
    if kind in (Union, UnionType):
        return any(fits(value, part) for part in parts)
    if kind is Literal:
        return value in parts
    if isinstance(value, Mapping):  # builds what the class wants, which says so itself
        return "_target_" in value or is_a(kind or hint, Mapping)
    if isinstance(value, list | tuple):
        inner = [part for part in parts if part is not Ellipsis][:1]
        return is_a(kind or hint, Iterable) and all(fits(v, h) for v in value for h in inner)
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if hint in WORDS:
        return type(value) is hint
    if not isinstance(kind or hint, type):
        return True  # what stands for several classes
    ours = (kind or hint).__module__.startswith("condenser.")
    return isinstance(value, str) and not ours and not is_a(kind or hint, (Iterable, Callable))


def is_a(hint: Any, kinds: Any) -> bool:
    """Whether the annotation names one of these kinds of container."""
    try:
        return isinstance(hint, type) and hint is not str and issubclass(hint, kinds)
    except TypeError:
        return False


def said(hint: Any) -> str:
    """An annotation in words."""
    kind, parts = get_origin(hint), get_args(hint)
    if kind in (Union, UnionType):
        return " or ".join(dict.fromkeys(map(said, parts)))
    if kind is Literal:
        return " or ".join(map(str, parts))
    if is_a(kind or hint, Mapping):
        return "a mapping"
    if is_a(kind or hint, Iterable):
        return "a list"
    return WORDS.get(hint, "a mapping with _target_")
