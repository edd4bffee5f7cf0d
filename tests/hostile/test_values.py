"""Any value of any setting is taken, or refused in lines, before anything is trained."""

from __future__ import annotations

import copy
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from time import process_time
from typing import Any

import pytest
from places import CONF
from running import config_of

from condenser.config import schema
from condenser.config.error_messages import can_be_mended, explain, options
from condenser.errors import CondenserError
from condenser.pipeline.console import Console
from condenser.pipeline.plan import Plan, make_plan
from condenser.pipeline.session import conforms, run_context

NASTY: list[Any] = [
    float("nan"),
    float("inf"),
    float("-inf"),
    -1,
    0,
    10**20,
    10**400,
    1e-300,
    True,
    "",
    None,
    [],
    [None],
    {},
    {"a": 1},
    "x" * 300,
    "\0",
    "${oc.env:HOME}",
    "a/b",
    "..",
]
WHOLE = "FUZZ" in os.environ  # of make fuzz
SLOWEST = 2  # seconds of a processor, for one value
SMALLER = ("sparse", "prune", "cut", "merge", "factorize", "share", "quantize")
SECTIONS = {
    "inherit": ("inherit@distill.inherit", "distill.inherit"),
    "model": ("model@student.model", "student.model"),
    "sampler": ("sampler@budget.sampler", "budget.sampler"),
    "optim": ("optim", "optim"),
    **{name: (name, name) for name in (*SMALLER, "distill", "data", "trainer", "logger", "recipe")},
}


def leaves(node: dict[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for key, value in node.items():
        if isinstance(value, dict):
            yield from leaves(value, (*path, key))
        yield (*path, key)


def with_value(config: dict[str, Any], path: tuple[str, ...], value: Any) -> dict[str, Any]:
    changed = copy.deepcopy(config)
    inner = changed
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return changed


def check(config: dict[str, Any], ctx: Any = None) -> None:
    """What train.py does before it trains; with a bench also what stages see of the data."""
    schema.check(config)
    plan = make_plan(config)
    conforms(plan)
    for stage in plan.to_check() if ctx else ():
        stage.check(ctx)


def try_all(
    config: dict[str, Any], paths: list[tuple[str, ...]], ctx: Any = None, every: int = 1
) -> None:
    """``every``: so many settings share the values out among them."""

    def hangs(*_: object) -> None:
        raise TimeoutError("it hangs")

    before = signal.signal(signal.SIGALRM, hangs)
    try:
        for number, path in enumerate(paths):
            for value in NASTY[number % every :: every]:
                try_one(config, path, value, ctx)
    finally:
        signal.signal(signal.SIGALRM, before)


def try_one(config: dict[str, Any], path: tuple[str, ...], value: Any, ctx: Any) -> None:
    changed, started = with_value(config, path, value), process_time()
    signal.alarm(60)
    try:
        check(changed, ctx)
    except Exception as error:
        told = f"{'.'.join(path)}={str(value)[:40]!r}: {type(error).__name__}: {error}"
        assert can_be_mended(error), told
        assert all(line.strip() for line in explain(error).splitlines()), told
    finally:
        signal.alarm(0)
    assert process_time() - started < SLOWEST, (path, value)


def test_any_value_of_any_setting_of_the_default_config(tmp_path: Path) -> None:
    config = config_of("logger=csv", "trainer.threads=1", "trainer.accelerator=cpu")
    config["recipe"]["stages"] = ["teacher", "distill", "prune", "quantize", "export"]
    ctx = run_context(config, Console(tmp_path, quiet=True))
    check(config, ctx)
    once = [p for p in leaves(config) if p[0] not in ("cut", "share", "merge", "factorize")]
    assert len(once) > 150
    try_all(config, once, ctx, every=1 if WHOLE else 3)


ASKED = {"_target_": "nets.SmallTransformer", "architecture": "x"}  # what an option leaves to say


@pytest.mark.parametrize("group", SECTIONS)
def test_any_value_of_any_setting_of_every_option(group: str) -> None:
    word, section = SECTIONS[group]
    seen: set[str] = set()
    for option in options(group):
        place = CONF / group / f"{option}.yaml"
        text = place.read_text() if place.is_file() else ""
        asked = [
            f"{section}.{key}={value}" for key, value in ASKED.items() if f"{key}: ???" in text
        ]
        config = config_of(f"{word}={option}", *asked)
        stages = [group] if group in SMALLER else ["distill"]
        if group != "recipe":
            config["recipe"]["stages"] = ["teacher", *stages]
        with_section = [p for p in leaves(config) if ".".join(p).startswith(f"{section}.")]
        new = []
        for path in with_section:
            inner: Any = config
            for key in path[:-1]:
                inner = inner[key]
            name = f"{inner.get('_target_', '.'.join(path[:-1]))}.{path[-1]}"
            if name not in seen:
                seen.add(name)
                new.append(path)
        try_all(config, new, every=1 if WHOLE else 8)
    assert seen


def test_what_is_left_of_the_right_kind_is_still_taken() -> None:
    config = config_of("prune.exclude=[fc1]", "+prune.criterion.seed=3", "prune.criterion=null")
    del config["prune"]["criterion"]
    conforms(Plan(config, ()))
    with pytest.raises(CondenserError, match=r"^data.augment=3: must be a list$"):
        conforms(Plan({**config, "data": {**config["data"], "augment": 3}}, ()))
