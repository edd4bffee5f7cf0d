"""A figure as data: choices, panels, axes, marks. Who draws it (paper.py, page/figure.js) knows
nothing of records.

A mark is there where its ``when`` fits what is chosen: ``{"colour": "stage"}``; either may be a
list. ``$x`` is the quantity that is chosen as x.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any, Literal

When = Mapping[str, Any]
State = Mapping[str, Any]
Numbers = Sequence[float | None]


@dataclass(frozen=True)
class Column:
    """A quantity of every row; None where a row has none. ``scale`` makes 0.5 of it 50 %."""

    name: str
    unit: str = ""
    scale: float = 1.0
    cost: bool = False
    less: bool = False
    mean: Numbers = ()
    std: Numbers = ()
    half: Numbers = ()


@dataclass(frozen=True)
class Choice:
    """What a reader may choose: (value, words[, when it can be chosen]); without options yes or no.

    ``labels`` has one for each that is chosen at once.
    """

    labels: Sequence[str]
    options: Sequence[tuple[Any, ...]] = ()
    first: Any = None
    wide: bool = False


@dataclass(frozen=True)
class Axis:
    """Its words, or the quantity whose name, unit and scale it has; or names at 0, 1, 2 …"""

    title: str = ""
    quantity: str = ""
    names: Sequence[str] | None = None
    down: bool = False
    percent: bool = False


@dataclass(frozen=True)
class Mark:
    """Something drawn, at ``rows`` of the columns of the axes or at x and y as they are.

    points and lines have error bars where rows have a spread; a step is a front, whose rows are
    named; a level is a line over the whole width; cells are a map, ``rows`` line by line; bars lie,
    with their texts. ``rows`` may be looked up ``by`` what is chosen. Without a colour it has that
    of its place among what is chosen.
    """

    kind: Literal["points", "line", "step", "level", "bars", "cells"]
    name: str = ""
    color: str = ""
    marker: str = ""
    dash: bool = False
    rows: Any = None
    by: Sequence[str] = ()
    x: Sequence[float] | None = None
    y: Sequence[float] | None = None
    text: Sequence[str] | None = None
    quantity: str = ""
    when: When = field(default_factory=dict)


@dataclass(frozen=True)
class Panel:
    x: Axis
    y: Axis
    marks: Sequence[Mark]
    when: When = field(default_factory=dict)


@dataclass(frozen=True)
class Figure:
    """``filters``: choice → its value of each row; "" chooses all. ``names``: of each row."""

    panels: Sequence[Panel]
    choices: Mapping[str, Choice] = field(default_factory=dict)
    filters: Mapping[str, Sequence[str]] = field(default_factory=dict)
    title: str = ""
    subtitle: str = ""

    @property
    def state(self) -> dict[str, Any]:
        """What is chosen at first."""
        return {name: choice.first for name, choice in self.choices.items()}


def fits(when: When, state: State) -> bool:
    """Whether this is chosen: one of what is asked for is one of what is chosen."""
    return all(any(one in _list(state[key]) for one in _list(value)) for key, value in when.items())


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def quantity(axis: Axis, state: State) -> str:
    key = axis.quantity
    return str(state[key[1:]]) if key.startswith("$") else key


def rows_of(
    figure: Figure, mark: Mark, state: State, columns: Sequence[Column | None]
) -> list[int]:
    """The rows of a mark that are chosen and have a number in each of the columns."""
    found = mark.rows
    for key in mark.by:
        found = (found or {}).get(state[key])
    return [
        i
        for i in found or ()
        if all(state[k] in ("", own[i]) for k, own in figure.filters.items())
        and all(column is None or column.mean[i] is not None for column in columns)
    ]


def as_json(thing: Any) -> Any:
    """Plain values; what is as by default is left out."""
    if is_dataclass(thing):
        every = {one.name: (one, getattr(thing, one.name)) for one in fields(thing)}
        return {
            name: as_json(value)
            for name, (one, value) in every.items()
            if value not in ("", (), None, {}) and value is not one.default
        }
    if isinstance(thing, Mapping):
        return {str(key): as_json(value) for key, value in thing.items()}
    if isinstance(thing, list | tuple):
        return [as_json(one) for one in thing]
    return thing
