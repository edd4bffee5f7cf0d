"""What a run is called, in its folder, its records and its tracker."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from omegaconf import OmegaConf

from condenser.config.instantiate import build
from condenser.pipeline.plan import Plan
from condenser.runs import saved
from condenser.store import key_of
from condenser.tracking import identity


def open_tracker(plan: Plan, commit: Any) -> Any:
    """The logger that the config names, told what this run is and of which code."""
    config = plan.config
    who = identity(
        experiment=config["name"],
        recipe="-".join(plan.words),
        run=config["run"],
        claim=config["claim"],
        data=config["data"]["name"],
        models=dict.fromkeys(s.architecture["name"] for s in plan.whole if s.architecture),
        commit=commit,
        key=key_of({k: v for k, v in config.items() if k not in ("runs", "store", "run")}),
        config=plan.mark,
    )
    partial_tracker = build(config["logger"], _partial_=True)
    assert isinstance(partial_tracker, partial)
    return partial_tracker(identity=who, config=dict(config), folder=plan.folder)


def about(config: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a record that is the run's and not the model's."""
    return {
        "run": config["run"],
        "experiment": config["name"],
        "claim": config["claim"],
        "data": config["data"]["name"],
    }


def config_text(plan: Plan, settled: Mapping[str, Any]) -> str:
    """The config's file in the run's folder."""
    return f"{saved.MARK}{plan.mark}\n{OmegaConf.to_yaml(OmegaConf.create(dict(settled)))}"
