"""The steps of a trial, on the CPU, with two images of the training set."""

from __future__ import annotations

import copy
import tempfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from condenser.checkpoint import model_spec
from condenser.errors import CondenserError
from condenser.models.weights import shape
from condenser.pipeline.stages import RunContext
from condenser.pipeline.tryout.files import write_and_run
from condenser.pipeline.tryout.trial import Trial
from condenser.pipeline.tryout.words import refuse, step

NEAR = 1e-6  # of the largest output: what the order of additions may change


def attempt(trial: Trial, ctx: RunContext) -> None:
    """Build, answer, learn, store, deploy. CondenserError at the first that fails."""
    with torch.random.fork_rng(devices=[]), tempfile.TemporaryDirectory() as folder:
        torch.manual_seed(0)
        model = built(trial, ctx)
        answer(trial, model, ctx)
        if trial.trained:
            learn(trial, model, ctx)
        store(trial, model, ctx, Path(folder))
        for export in trial.exports:
            write_and_run(trial, model, export, ctx, Path(folder))


def learn_from_one(trial: Trial, ctx: RunContext) -> None:
    """What a network of ours may not be able to do: a batch norm has no variance of one sample."""
    with torch.random.fork_rng(devices=[]):
        learn(trial, built(trial, ctx), ctx)


def built(trial: Trial, ctx: RunContext) -> nn.Module:
    with step(trial.named, "cannot be built"):
        return trial.spec.build(ctx.trusted)


def answer(trial: Trial, model: nn.Module, ctx: RunContext) -> None:
    """It gives logits for one image and for two, twice the same, and leaves the images alone."""
    outputs, mend = ctx.data.num_classes, wanted(model, ctx)
    model.eval()
    for count in (2, 1):
        images = ctx.data.example(count)
        before = images.clone()
        with step(trial.named, f"fails in eval mode on {count} of the images", mend):
            logits, again = said(model, images), said(model, images.clone())
        if not torch.equal(images, before):
            refuse(trial.named, "changes the images that it is given in place; it must leave them")
        places = () if ctx.data.task.by_sample else (images.shape[-1],)
        if logits.shape != (count, *places, outputs):
            sides = "x".join(map(str, (count, *places, outputs)))
            right = f"{sides}, a logit for each class of {ctx.data.name}"
            what = f"answers {count} images with a tensor of {shape(logits)}; must be of {right}"
            refuse(trial.named, what)
        if not same(logits, again):
            mend = "what is random belongs behind `if self.training`"
            refuse(trial.named, f"answers the same images differently in eval mode; {mend}")


def wanted(model: nn.Module, ctx: RunContext) -> str:
    """What the network has to take, that most which fail do not."""
    kinds = {str(p.dtype).removeprefix("torch.") for p in model.parameters()} - {"float32"}
    if kinds:
        return f"its parameters are {', '.join(sorted(kinds))}, the images float32"
    return f"it must take images of {shape(ctx.data.example()[0])}"


def learn(trial: Trial, model: nn.Module, ctx: RunContext) -> None:
    """Two steps on each size of batch reach the parameters that want to be trained."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    if not parameters:
        refuse(trial.named, "has no parameter to train: none has requires_grad")
    optimizer = torch.optim.SGD(parameters, lr=1e-3)
    for count in (2, 1) if trial.least == 1 else (2,):
        mend = "" if count == 2 else "optim.batch_size and data.limit must be above 1"
        with step(trial.named, f"cannot be trained on a batch of {count}", mend):
            images, targets = ctx.data.labelled(count)
            for _ in range(2):
                optimizer.zero_grad()
                loss = ctx.data.task.loss(model.train()(images), targets)
                if not loss.requires_grad:
                    raise CondenserError("its logits depend on no parameter that has requires_grad")
                loss.backward()
                optimizer.step()


def store(trial: Trial, model: nn.Module, ctx: RunContext, folder: Path) -> None:
    """What is read back answers as what was written."""
    with step(trial.named, "cannot be stored"):
        model_spec.save(folder, trial.spec, model)
    with step(trial.named, "cannot be loaded once stored"):
        _, again = model_spec.load(folder, ctx.trusted)
    with step(trial.named, "cannot be copied (copy.deepcopy)"):
        copy.deepcopy(again)
    images = ctx.data.example(2)
    if not same(said(model.eval(), images), said(again, images)):
        violations = unsaved(model, again)
        what = f" ({', '.join(violations[:3])})" if violations else ""
        refuse(
            trial.named,
            f"answers differently once stored and loaded: its state_dict lacks what forward uses"
            f"{what}; register_buffer keeps a tensor",
        )


def said(model: nn.Module, images: Tensor) -> Tensor:
    with torch.no_grad():
        logits: Tensor = model(images)
    if not isinstance(logits, torch.Tensor):
        raise CondenserError(f"gives a {type(logits).__name__}")
    return logits.float()


def same(a: Tensor, b: Tensor) -> bool:
    """But for rounding; what is not finite counts as equal to its like."""
    near = NEAR * float(a.nan_to_num().abs().max())
    return a.shape == b.shape and torch.allclose(a, b, rtol=0, atol=near, equal_nan=True)


def unsaved(model: nn.Module, again: nn.Module) -> list[str]:
    """Tensors in ``model`` beside its state that are other ones in ``again``."""
    there = dict(again.named_modules())
    found = []
    for name, module in model.named_modules():
        state = {*module._parameters, *module._buffers} - module._non_persistent_buffers_set
        other = there.get(name)
        own: dict[str, Any] = {**vars(module), **module._buffers}
        for key, value in own.items():
            if isinstance(value, torch.Tensor) and key not in state:
                twin = getattr(other, key, None)
                if not isinstance(twin, torch.Tensor) or not torch.equal(value, twin):
                    found.append(f"{name}.{key}".removeprefix("."))
    return found
