"""attribution: whether a network looks where the reference looks."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from condenser.measure.behaviour.attribution import agreement, maps
from condenser.measure.behaviour.sheet import sheet
from condenser.pipeline.behaviour.case import Case
from condenser.store import StageDir

SHEET = "attribution.png"
SHOWN = 4  # images


def measured(case: Case, place: StageDir) -> dict[str, Any]:
    """Agreement by method for the class that the reference decides on, and as the control that of
    a network of the reference's architecture with random weights."""
    if case.reference is None or case.file is not None:  # a file has no gradients
        return {}
    images, *_ = case.samples("test", case.settings["images"])
    target = case.reference.evaluated.logits(images).argmax(1)
    if int(target.max()) >= case.data.num_classes:
        return {}  # the reference does something else
    theirs = of(case.reference.model, case, images, target)
    own = of(case.model, case, images, target)
    control = of(untrained(case.reference), case, images, target)
    found: dict[str, Any] = {"images": len(images)}
    for method in theirs.keys() & own.keys():
        alike = agreement(own[method], theirs[method])
        found |= {f"{method}/{key}": value for key, value in alike.items()}
        found[f"{method}/random"] = agreement(control[method], theirs[method])["spearman"]
    (place.folder / SHEET).write_bytes(beside(images[:SHOWN], theirs, own))
    return found


def of(model: nn.Module, case: Case, images: Tensor, target: Tensor) -> dict[str, Tensor]:
    black = torch.zeros_like(images[:1])
    return maps(model, case.normalise(images), target, case.normalise(black))


def untrained(case: Case) -> nn.Module:
    """The same architecture with the first weights of another seed."""
    spec, _ = case.made.entry.load(case.ctx.trusted)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        return spec.build(case.ctx.trusted)


def beside(images: Tensor, theirs: dict[str, Tensor], own: dict[str, Tensor]) -> bytes:
    """Each image, where the reference looks and where this network does."""
    pictures: list[Tensor] = []
    lines: list[tuple[str, str]] = []
    for i, image in enumerate(images):
        pictures.append(image if image.shape[0] == 3 else image[:1])
        lines.append((f"image {i}", ""))
        for method in sorted(theirs.keys() & own.keys()):
            for who, found in (("reference", theirs), ("this one", own)):
                pictures.append(found[method][i][None])
                lines.append((method, who))
    columns = 1 + 2 * len(theirs.keys() & own.keys())
    return sheet(pictures, lines, columns)
