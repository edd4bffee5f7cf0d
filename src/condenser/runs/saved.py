"""The config that a run wrote, read as data: plain values, nothing resolved, nothing built."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from condenser.errors import CondenserError, DamagedError
from condenser.files import read_bytes, reading

FILE = "config.yaml"
MARK = "# config "  # how the file begins; then what the records beside it say, too
MOST = 1 << 18  # bytes; what a run writes has about ten thousand
LEVELS = 40


def read(file: Path) -> dict[str, Any]:
    """The mapping in a file that ``run.yaml_of`` wrote.

    Raises:
        CondenserError: it cannot be read; or it has what no run writes: interpolations, tags,
            anchors, keys twice, values that are no plain ones.
    """
    import yaml

    try:
        text = read_bytes(file, MOST).decode()
        for mark, wrong in oddities(text):
            raise DamagedError(f"{file}:{mark.line + 1}: {wrong}; no run writes that")
        config = yaml.load(text, Loader=loader())
    except OSError as error:
        raise CondenserError(f"{file}: cannot be read: {error.strerror}") from error
    except (ValueError, yaml.YAMLError) as error:
        raise DamagedError(f"{file} is no config: {said(error)}") from error
    if not isinstance(config, dict):
        raise DamagedError(f"{file} is no config: a mapping is asked for")
    return config


def mark(file: Path) -> str | None:
    """Which config a file says that it is; None: it does not."""
    with reading(file) as text:
        first = text.readline(100).decode(errors="replace")
    return first.removeprefix(MARK).strip() if first.startswith(MARK) else None


def oddities(text: str) -> Iterator[tuple[Any, str]]:
    """Where, and what, a text has of YAML that data has no use for."""
    import yaml

    depth = 0
    for event in yaml.parse(text, Loader=loader()):
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        value = event.value if isinstance(event, yaml.ScalarEvent) else ""
        if depth > LEVELS:
            yield event.start_mark, "nested too deeply"
        if getattr(event, "anchor", None):
            yield event.start_mark, "an anchor or alias"
        if getattr(event, "tag", None):
            yield event.start_mark, f"the tag {event.tag}"  # type: ignore[attr-defined]
        if "${" in value or value in ("???", "<<"):
            yield event.start_mark, f"{value} is not resolved"


def loader() -> Any:
    """OmegaConf's own, for it is what wrote: 1e-3 is a number, a date is text, keys come once."""
    import yaml
    from omegaconf._utils import get_yaml_loader

    slow: Any = get_yaml_loader()
    return type("Loader", (yaml.CSafeLoader, slow), {}) if yaml.__with_libyaml__ else slow


def said(error: Exception) -> str:
    """The reason in one line."""
    mark = getattr(error, "problem_mark", None)
    where = f" in line {mark.line + 1}" if mark else ""
    return (getattr(error, "problem", None) or str(error).splitlines()[0]) + where
