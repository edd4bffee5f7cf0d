"""Hydra's words for a sweep as what a search may choose from."""

from typing import Any

from hydra.core.override_parser.types import (
    IntervalSweep,
    Override,
    QuotedString,
    RangeSweep,
    Transformer,
)

from condenser.errors import ConfigError
from condenser.search.space import Choice, Interval, read


def setting(key: str, override: Override) -> Choice | Interval:
    """``a,b``, ``choice(…)`` and ``glob(…)`` are a choice; ``range(…)`` has steps; ``interval(…)``
    has none, is whole within ``int(…)`` and logarithmic within ``tag(log,…)``.

    Raises:
        ConfigError: nothing to choose from, or an interval without a number.
    """
    value = override._value
    if isinstance(value, RangeSweep):
        return ranged(key, value)
    if not isinstance(value, IntervalSweep):
        return read(key, [typed(one) for one in override.sweep_iterator(Transformer.identity)])
    assert value.start is not None and value.end is not None
    other = value.tags - {"log"}
    if other:
        raise ConfigError(key, f"tag({','.join(sorted(other))},…)", "the tag log")
    interval = Interval(value.start, value.end, log="log" in value.tags)
    interval.check(key)
    return interval


def ranged(key: str, value: RangeSweep) -> Interval:
    numbers = list(value.range()) if value.step else []
    if not numbers:
        raise ConfigError(
            key, f"range({value.start},{value.stop},{value.step})", "a number or more"
        )
    return Interval(min(numbers), max(numbers), step=abs(value.step))


def typed(value: Any) -> Any:
    """A number, true, false or null as it is; anything else as the text to type."""
    if value is None or isinstance(value, bool | int | float):
        return value
    return value.with_quotes() if isinstance(value, QuotedString) else Transformer.str(value)
