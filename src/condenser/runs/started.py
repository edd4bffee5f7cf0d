"""How this process was started, for messages that say what to type next."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Iterable
from pathlib import Path

from condenser.files import CONF

SCRIPT = re.compile(r"python src/(\w+)\.py")


def clone() -> bool:
    """Whether a clone's script was started, and not the installed command."""
    installed = CONF.is_relative_to(Path(__file__).resolve().parents[1])
    return not installed and Path(sys.argv[0]).stem != "condenser"


def words() -> list[str]:
    """The command line of this process."""
    own = ["-m", "condenser"] if sys.argv[0].endswith("__main__.py") else sys.argv[:1]
    return ["python", *own, *sys.argv[1:]] if clone() else ["condenser", *sys.argv[1:]]


def command(name: str) -> list[str]:
    """The first words of one of our commands, as a person would type them."""
    return ["python", f"src/{name}.py"] if clone() else ["condenser", name]


def of_run(overrides: Iterable[str]) -> str:
    """What to type for the same run; where runs lie is the machine's affair."""
    places = ("runs=", "store=")
    words = [word for word in overrides if not word.startswith(places)]
    return shlex.join([*command("train"), *words])


def as_typed(text: str) -> str:
    """``python src/train.py`` within a text as ``condenser train`` where that was typed."""
    return text if clone() else SCRIPT.sub(r"condenser \1", text)
