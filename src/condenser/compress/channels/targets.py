"""How much to cut: one number, and what to say when it cannot be had."""

from __future__ import annotations

from typing import Any

from condenser.errors import ConfigError


def check_goal(**given: Any) -> tuple[str, float]:
    """The one goal that is set, by name. Raises ConfigError for none, several or out of range."""
    goals = {name: value for name, value in given.items() if value is not None}
    if len(goals) != 1:
        names = ", ".join(f"cut.{name}" for name in given)
        raise ConfigError("cut", goals or "null", f"one of {names}", "set the others to null")
    ((name, value),) = goals.items()
    inside, allowed = RANGES[name]
    if not inside(value):
        raise ConfigError(f"cut.{name}", value, allowed)
    return name, value


def unreachable(name: str, goal: float, least: float) -> ConfigError:
    """For a fraction that is less than what the most cut would leave."""
    allowed = f"a fraction from {least + 5e-4:.3f} up, the least that is left at the most cut"
    return ConfigError(f"cut.{name}", goal, allowed)


LEFT = (lambda value: 0 < value <= 1, "a number above 0, up to 1: the fraction that may be left")
RANGES: dict[str, tuple[Any, str]] = {
    "rate": (lambda value: 0 <= value < 1, "a number from 0 up to, not including, 1"),
    "count": (lambda value: value >= 1, "a whole number from 1 up"),
    "macs": LEFT,
    "params": LEFT,
}
