"""Runs for tests: a composed config, and a run of it in a folder of the test's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from condenser.cli import train as cli
from condenser.pipeline.resolve import name_models
from condenser.runs.records import Record

QUICK = ("debug=fast", "logger=csv", "trainer.threads=1", "trainer.accelerator=cpu")


def config_of(*overrides: str, run: str = "test") -> dict[str, Any]:
    """The resolved config that these overrides compose."""
    words = [cli.lists_are_stages(word) for word in overrides]
    with initialize_config_dir(str(cli.CONF), version_base="1.3"):
        cfg = compose("train", [*words, f"run={run}"])
        config: dict[str, Any] = OmegaConf.to_container(cfg, resolve=True)  # type: ignore[assignment]
        name_models(config)
    return config


def run_in(folder: Path, *overrides: str, run: str = "test") -> list[Record]:
    """Run it with runs and store in ``folder``."""
    from condenser.config import schema
    from condenser.pipeline.plan import make_plan
    from condenser.pipeline.run import run as run_it

    config = config_of(*QUICK, f"runs={folder}", *overrides, run=run)
    schema.check(config)
    return run_it(make_plan(config))
