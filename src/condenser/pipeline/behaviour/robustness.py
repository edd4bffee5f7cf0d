"""robustness: accuracy and calibration where images are not as they were."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
import torch.nn.functional as F
from omegaconf import OmegaConf
from torch import Tensor

from condenser.config.instantiate import build
from condenser.data import DataModule
from condenser.data.counter_rng import uniform
from condenser.data.split import take
from condenser.errors import ConfigError, UnknownError
from condenser.files import CONF
from condenser.measure import Predictions
from condenser.measure.behaviour.adversarial import attacked
from condenser.measure.behaviour.corruptions import CORRUPTIONS, SEVERITIES, corrupted
from condenser.measure.behaviour.reliability import selective_risk, strangeness
from condenser.measure.scores import of_classes
from condenser.pipeline.behaviour.case import Case
from condenser.store import StageDir

NOISE = "noise"


def ingredients(settings: Mapping[str, Any], data: DataModule) -> dict[str, Any]:
    """What else than settings and the run's own data the results depend on."""
    names = [name for name in settings["ood"] if name != NOISE]
    return {name: other_data(name, data.root).fingerprint for name in names}


def measured(case: Case, place: StageDir) -> dict[str, Any]:
    """Corrupted images, images of other data, attacks; each section of it where it is asked for."""
    images, targets, index = case.samples("test", case.settings["images"])
    clean = Predictions(case.evaluated.logits(images), targets)
    found: dict[str, Any] = {"images": len(targets), "clean": accuracy(clean)}
    found |= {"aurc": selective_risk(clean), "ece_clean": calibration(clean)}
    if case.settings["corruptions"]:
        found |= under_corruptions(case, images, targets, index)
        found["ece_shift"] = found["ece"] - found["ece_clean"]
    for name in case.settings["ood"]:
        if name == NOISE:
            other = noise(images, index)
        else:
            other = fitted(other_data(name, case.data.root), images)
        found[f"ood_{name}"] = strangeness(clean.logits, case.evaluated.logits(other))
    if case.settings["attacked"] and case.file is None:  # a file has no gradients
        found |= dict(under_attack(case))
    return found


def under_corruptions(
    case: Case, images: Tensor, targets: Tensor, index: Tensor
) -> dict[str, float]:
    """accuracy and ece: means over corruptions and severities; accuracy by name and by severity;
    mce: mean over the corruptions of error / error of the reference."""
    accuracies, errors = {}, []
    for name in CORRUPTIONS:
        for severity in SEVERITIES:
            shown = corrupted(name, severity, images, index)
            said = Predictions(case.evaluated.logits(shown), targets)
            accuracies[name, severity] = accuracy(said)
            errors.append(calibration(said))
    found = {"accuracy": fmean(accuracies.values()), "ece": fmean(errors)}
    for severity in SEVERITIES:
        found[f"severity_{severity}"] = fmean(accuracies[name, severity] for name in CORRUPTIONS)
    for name in CORRUPTIONS:
        found[name] = fmean(accuracies[name, severity] for severity in SEVERITIES)
    return found | relative(found, case.beside)


def relative(own: Mapping[str, float], beside: Mapping[str, float] | None) -> dict[str, float]:
    """Mean corruption error as the authors define it, the reference in AlexNet's place; nothing
    where that makes no mistake."""
    if beside is None or any(beside[name] == 1 for name in CORRUPTIONS):
        return {}
    return {"mce": fmean((1 - own[name]) / (1 - beside[name]) for name in CORRUPTIONS)}


def under_attack(case: Case) -> Iterator[tuple[str, float]]:
    """Accuracy under FGSM and under PGD, and on the same images as they are."""
    settings = case.settings
    images, targets, _ = case.samples("test", settings["attacked"])
    shown = images.float() / 255
    yield "unattacked", accuracy(Predictions(case.evaluated.logits(shown), targets))
    for name, steps in (("fgsm", 1), ("pgd", settings["steps"])):
        moved = attacked(case.model, case.normalise, shown, targets, settings["eps"], steps)
        yield name, accuracy(Predictions(case.evaluated.logits(moved), targets))


def accuracy(predictions: Predictions) -> float:
    return (predictions.logits.argmax(1) == predictions.targets).double().mean().item()


def calibration(predictions: Predictions) -> float:
    found = of_classes(*predictions)["ece"]
    assert found is not None
    return found


def noise(images: Tensor, index: Tensor) -> Tensor:
    """As many images of independent uniform pixels."""
    drawn = uniform(0, index, 0, 0, images[0].numel()).view(images.shape)
    return (drawn * 256).to(torch.uint8)


@lru_cache
def other_data(name: str, root: str | Path | None) -> DataModule:
    """A data set of conf/data, below the run's own root.

    Raises:
        UnknownError: no such file of conf/data.
        ConfigError: it needs settings of its own, or is not there.
    """
    known = sorted(path.stem for path in (CONF / "data").glob("*.yaml"))
    if name not in known:
        raise UnknownError("measure.robustness.ood", name, [NOISE, *known])
    file = CONF / "data" / f"{name}.yaml"
    config: dict[str, Any] = OmegaConf.to_container(OmegaConf.load(file))  # type: ignore[assignment]
    if config["root"] is not None:
        config["root"] = root
    try:
        other = build({**config, "limit": None}, batch_size=1, seed=0)
        other.setup()
    except ConfigError as error:
        key, allowed = "measure.robustness.ood", "images that are there"
        raise ConfigError(key, name, allowed, str(error)) from error
    return other


def fitted(other: DataModule, images: Tensor) -> Tensor:
    """As many test images of other data, in the size and the colours of these."""
    part, (count, channels, *size) = other.parts.test, images.shape
    shown = part.read(take(part.targets, count, other.split_seed)).cpu().float()
    if shown.shape[1] != channels:
        shown = shown.mean(1, keepdim=True).expand(-1, channels, -1, -1)
    if [*shown.shape[2:]] != size:
        shown = F.interpolate(shown, size, mode="bilinear", antialias=True)
    return shown.round().clamp(0, 255).to(torch.uint8)
