"""What Lightning users set of a training's steps: the part of ``trainer`` that changes results."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from condenser.errors import CondenserError, ConfigError
from condenser.pipeline.stages.base import RunContext

if TYPE_CHECKING:
    from condenser.pipeline.stages.training import TrainingStage

BATCHES = "accumulate_grad_batches"
PLAIN: dict[str, Any] = {"gradient_clip_val": None, BATCHES: 1, "max_time": None, "callbacks": []}
SHARDED = ("fsdp", "tensor_parallel")


def stepping(trainer: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that change the steps; none as shipped, so that keys are as without them."""
    return {k: trainer[k] for k, plain in PLAIN.items() if trainer.get(k, plain) != plain}


def callbacks(steps: Mapping[str, Any], ctx: RunContext) -> list[Any]:
    """A person's own callbacks, built anew for each training.

    Raises:
        ConfigError: one is no callback of Lightning.
    """
    from pytorch_lightning.callbacks import Callback

    built = [ctx.build(callback) for callback in steps.get("callbacks", ())]
    for place, one in enumerate(built):
        if not isinstance(one, Callback):
            asked = steps["callbacks"][place]["_target_"]
            allowed = "a pytorch_lightning.Callback"
            raise ConfigError(f"trainer.callbacks[{place}]._target_", asked, allowed)
    return built


def refuse_steps(stage: TrainingStage, ctx: RunContext) -> None:
    """ConfigError for settings of the steps that this stage cannot have.

    A mean of weights would not keep the structure that is in them.
    """
    callbacks(stage.stepping, ctx)
    if patterns := stage.settings["optim"].get("frozen"):
        from condenser.compress.patterns import refuse_unmatched

        names = [name for name, _ in stage.example(ctx).named_modules() if name]
        refuse_unmatched(f"{stage.word}.optim.frozen", patterns, names)
    shares = stage.config["trainer"]["strategy"] in SHARDED
    asked = stage.settings["optim"].get("ema")
    if asked and (stage.takes_model or shares):
        allowed = "0 in a stage that takes a model, and where processes share out weights"
        hint = "teacher.optim.ema and distill.optim.ema are for one stage"
        raise ConfigError(f"{stage.word}.optim.ema", asked, allowed, hint)


def refuse_optimizer(stage: TrainingStage, ctx: RunContext) -> None:
    """ConfigError where the optimiser refuses its settings."""
    import torch

    settings, probe = stage.settings["optim"], torch.nn.Parameter(torch.zeros(1))
    try:
        stage.plan(ctx).optimizer([probe], lr=settings["lr"])
    except (TypeError, ValueError) as error:
        if isinstance(error, CondenserError):
            raise
        asked = settings["optimizer"]["_target_"]
        allowed = "an optimiser that takes its settings"
        raise ConfigError(f"{stage.word}.optim.optimizer", asked, allowed, str(error)) from error
