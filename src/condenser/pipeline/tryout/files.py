"""One file of an untrained network, written and run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from condenser import deploy
from condenser.compress import PostTraining, Quantized
from condenser.compress.quantization.sites import quantizable
from condenser.deploy.executorch_program import refuse_repeats
from condenser.pipeline.stages import RunContext
from condenser.pipeline.stages.export import Export
from condenser.pipeline.tryout.trial import Trial, rounds
from condenser.pipeline.tryout.words import refuse, step

IMAGES = 16
ROUNDED = ("bits", "activation_bits", "exclude", "per_channel", "affine", "first_last")
FAR = 1e-2  # of the largest output: more is another function


def write_and_run(
    trial: Trial, model: nn.Module, export: Export, ctx: RunContext, folder: Path
) -> None:
    """CondenserError where the file cannot be written, cannot be run, or answers otherwise."""
    form = export.form(ctx)
    images = ctx.data.calibration(min(IMAGES, ctx.data.train_size))
    refuse_what_no_program_holds(trial, model, export, images[:1])
    hint = "leave export out, or name another export.target"
    with torch.no_grad():
        own: Tensor = model(images[:2])
    with step(trial.named, f"cannot be written for {form.target} ({hint})"):
        plain = replace(form, dynamic=False, codes=False)
        file = deploy.write(model, plain, images, folder / "float")
    with step(trial.named, f"cannot be run by {form.target} ({hint})"):
        answers = run(file, images[:2], ctx)
    if not torch.allclose(answers, own, rtol=0, atol=FAR * float(own.abs().max()) + FAR):
        refuse(trial.named, f"answers differently as a file for {form.target}; {hint}")
    for stage in rounds(export):
        with step(trial.named, f"cannot be written for {form.target} in integers ({hint})"):
            operation = rounded(model, stage.settings, images)
            run(deploy.write(model, form, images, folder / "integers", operation), images, ctx)


def refuse_what_no_program_holds(
    trial: Trial, model: nn.Module, export: Export, image: Tensor
) -> None:
    """What the network itself tells, so that it need not be written first."""
    if export.settings["target"] == "executorch":
        for stage in rounds(export):
            with step(trial.named, "cannot be quantised"):
                layers = quantizable(model, stage.settings.get("exclude") or ())
                refuse_repeats(model, layers, image)


def run(file: Path, images: Tensor, ctx: RunContext) -> Tensor:
    session = deploy.session(file, 1)
    if session.pixels:
        scale, shift = (images.new_tensor(v).view(-1, 1, 1) for v in (ctx.data.std, ctx.data.mean))
        return session((255 * (images * scale + shift)).round().byte())
    return session(images)


def rounded(model: nn.Module, settings: Any, images: Tensor) -> Quantized:
    """Quantise the network in place, as the stage would with a few images."""
    own = {key: settings[key] for key in ROUNDED if key in settings}
    operations = PostTraining(**own, images=len(images))(model, images)
    return next(op for op in operations if isinstance(op, Quantized))
