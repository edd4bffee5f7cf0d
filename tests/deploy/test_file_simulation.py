"""The law: a deployed file decides as the network that was simulated, whatever the options."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import onnx
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from condenser import deploy
from condenser.compress import (
    CalibrationData,
    Operation,
    PostTraining,
    QuantizationAware,
    Quantized,
)
from condenser.data import Normalise, digits
from condenser.models import MLP, ResNet

SHAPE = (1, 8, 8)
NORMALISATION = ((0.3,), (0.37,))
AGREEMENT = 0.995


class Digits(NamedTuple):
    train: Tensor
    target: Tensor
    test: Tensor
    pixels: Tensor


@cache
def data() -> Digits:
    parts: Any = digits()
    normalise = Normalise(*NORMALISATION)
    train, test = normalise(parts.train.images), normalise(parts.test.images)
    return Digits(train, parts.train.targets, test, parts.test.images)


# --- networks


class Transformer(nn.Module):
    """Patches, attention and a hidden layer, in one block with sums around."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Conv2d(1, 16, 2, 2)
        self.norm1, self.norm2 = nn.LayerNorm(16), nn.LayerNorm(16)
        self.attention = nn.MultiheadAttention(16, 4, batch_first=True)
        self.fc1, self.fc2 = nn.Linear(16, 32), nn.Linear(32, 16)
        self.head = nn.Linear(16, 10)

    def forward(self, image: Tensor) -> Tensor:
        x = self.embed(image).flatten(2).transpose(1, 2)
        y = self.norm1(x)
        x = x + self.attention(y, y, y, need_weights=False)[0]
        x = x + self.fc2(F.gelu(self.fc1(self.norm2(x))))
        return self.head(x.mean(1))


class Torchvision(nn.Module):
    """One of torchvision's, on images of one channel, four times as large."""

    def __init__(self, name: str) -> None:
        super().__init__()
        import torchvision

        self.net = torchvision.models.get_model(name, num_classes=10)

    def forward(self, image: Tensor) -> Tensor:
        return self.net(F.interpolate(image, scale_factor=4.0).expand(-1, 3, -1, -1))


def zoo(name: str) -> Callable[..., nn.Module]:
    def build(network: Callable[..., Any]) -> nn.Module:
        made: nn.Module = network(name)[1]
        return made

    return build


NETS: dict[str, Callable[..., nn.Module]] = {
    "mlp": lambda _: MLP(SHAPE, 10, [32]),
    "lenet5": zoo("lenet5"),
    "lenet5_tenth": zoo("lenet5_tenth"),
    "resnet8_thin": zoo("resnet8_thin"),
    "resnet8": lambda _: ResNet(SHAPE, 10, 8, [4, 4, 8, 8]),
    "vgg8": lambda network: vgg(),
    "mobilenet_v2": zoo("mobilenet_v2"),
    "shufflenet_v1": zoo("shufflenet_v1"),
    "shufflenet_v2": zoo("shufflenet_v2"),
    "squeezenet": lambda _: Torchvision("squeezenet1_1"),
    "transformer": lambda _: Transformer(),
}


def vgg() -> nn.Module:
    from condenser.models import VGG

    return VGG((1, 16, 16), 10, [[4], [8], [8], [8], [8]])


# --- options

CALIBRATED: dict[str, dict[str, Any]] = {
    "int8": {},
    "percentile": {"ranges": 90.0},
    "mse": {"ranges": "mse"},
    "one_scale": {"per_channel": False},
    "equalised": {"per_channel": False, "equalize": True},
    "corrected": {"bits": 4, "correct_bias": True},
    "two_bits": {"bits": 2},
    "edges": {"bits": 3, "first_last": 8},
    "weights": {"bits": 4, "activation_bits": None},
    "affine": {"bits": 8, "activation_bits": None, "affine": True},
    "signs": {"bits": 1, "activation_bits": None},
    "adaround": {"bits": 4, "rounding": "adaptive", "ranges": "mse"},
}
TRAINED: dict[str, dict[str, Any]] = {
    "lsq": {"bits": 8, "activation_bits": 8, "ranges": "mse"},
    "lsq_4": {"bits": 4, "activation_bits": 8, "ranges": "mse", "first_last": 8},
    "ste": {"bits": 8, "activation_bits": 8, "learn": False, "ranges": "minmax"},
    "ternary": {"bits": 2, "activation_bits": 8, "weights": "ternary", "per_channel": False},
}
FORMS = {
    "float": deploy.Form(),
    "pixels": deploy.Form(normalisation=NORMALISATION),
    "codes": deploy.Form(codes=True),
}


def trained(model: nn.Module, steps: int, lr: float = 2e-3) -> nn.Module:
    """After so many steps on the digits; at a high rate it learns badly."""
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    for part in batches(steps):
        optimizer.zero_grad()
        F.cross_entropy(model.train()(data().train[part]), data().target[part]).backward()
        optimizer.step()
    return model.eval()


def batches(steps: int) -> Iterator[Tensor]:
    draw = torch.Generator().manual_seed(1)
    for _ in range(steps):
        yield torch.randint(len(data().train), (32,), generator=draw)


def quantised(model: nn.Module, settings: dict[str, Any], steps: int = 0) -> tuple[nn.Module, Any]:
    """The simulated network and what made it: after training, or with so many steps."""
    calibration = data().train[:256]
    if not steps:
        operations = PostTraining(**settings)(model, calibration)
        return model.eval(), operations[-1]
    fresh = copy.deepcopy(model)
    method = QuantizationAware(**settings, reestimate=256)
    shown = CalibrationData(lambda _: [(calibration, data().target[:256])], F.cross_entropy, dict)
    method.prepare(model, shown)
    trained(model, steps)
    kept, operations = method.kept(model, model.state_dict()), method.finish()
    for operation in operations:
        operation.apply(fresh)
    fresh.load_state_dict(kept)
    return fresh.eval(), operations[-1]


@torch.no_grad()
def agreement(
    model: nn.Module, operation: Operation | None, folder: Path, form: deploy.Form = FORMS["float"]
) -> float:
    """Share of test images, one at a time and 64 at once, of which the file says what the network
    says. Codes cannot tell logits apart that are closer than their step, nor anybody those that are
    equal but for the last digit of float32, as sums of few levels are."""
    assert operation is None or isinstance(operation, Quantized)
    file = deploy.write(model, form, data().train[:256], folder / "model", operation)
    onnx.checker.check_model(str(file))
    session = deploy.session(file)
    images = data().pixels if session.pixels else data().test
    said = torch.cat([session(part) for part in parted(images)])
    exact = torch.cat([model(part) for part in parted(data().test)])
    step = 1e-6 * exact.abs().max().item()
    if session.running.grid is not None:
        scale, zero = session.running.grid
        exact, step = ((exact / scale).round() + zero).clamp(0, 255), 1.0
    chosen = exact.gather(1, said.argmax(1, keepdim=True))[:, 0]
    return (chosen >= exact.amax(1) - step).float().mean().item()


def parted(images: Tensor) -> list[Tensor]:
    """Some alone, the others in batches."""
    return [*images[:8].split(1), *images[8:].split(64)]


FEW = [
    *(("resnet8", option, 30, "float") for option in ("percentile", "two_bits")),
    *(("resnet8", "int8", steps, "float") for steps in (0, -30)),  # untrained, badly trained
    ("resnet8", "corrected", 30, "codes"),
    ("lenet5_tenth", "percentile", 30, "pixels"),
    ("mlp", "mse", 30, "float"),
    ("mlp", "one_scale", 30, "codes"),
    ("transformer", "int8", 30, "float"),
    ("vgg8", "equalised", 0, "float"),
]


@pytest.mark.parametrize(("name", "option", "steps", "form"), FEW)
def test_a_file_decides_as_the_network_that_was_calibrated(
    network: Callable[..., Any], tmp_path: Path, name: str, option: str, steps: int, form: str
) -> None:
    model = trained(NETS[name](network), abs(steps), 2e-3 if steps >= 0 else 0.1)
    made = quantised(model, CALIBRATED[option])
    assert agreement(*made, tmp_path, FORMS[form]) >= AGREEMENT


@pytest.mark.parametrize("option", TRAINED)
@pytest.mark.parametrize("name", [pytest.param("resnet8", marks=pytest.mark.fuzz), "lenet5_tenth"])
def test_a_file_decides_as_the_network_that_was_trained_with_its_rounding(
    network: Callable[..., Any], tmp_path: Path, name: str, option: str
) -> None:
    made = quantised(NETS[name](network), TRAINED[option], steps=30)
    assert agreement(*made, tmp_path) >= AGREEMENT


@pytest.mark.fuzz
@pytest.mark.parametrize("steps", [0, 60, -60], ids=["untrained", "trained", "badly"])
@pytest.mark.parametrize("option", [*CALIBRATED, *TRAINED])
@pytest.mark.parametrize("name", NETS)
def test_every_option_on_every_network(
    network: Callable[..., Any], tmp_path: Path, name: str, option: str, steps: int
) -> None:
    model = trained(NETS[name](network), abs(steps), 2e-3 if steps >= 0 else 0.1)
    settings = {**CALIBRATED, **TRAINED}[option]
    made = quantised(model, settings, steps=20 if option in TRAINED else 0)
    for form in FORMS.values():
        assert agreement(*made, tmp_path, form) >= AGREEMENT, form


# --- batch norms


class Normed(nn.Module):
    """Two convolutions with a batch norm each, and what makes the pair of them odd."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        norm: dict[str, Any] = {}
        norm |= {"track_running_stats": False} if kind == "no statistics" else {}
        norm |= {"affine": False} if kind == "no affine" else {}
        self.kind = kind
        self.conv1, self.conv2 = nn.Conv2d(1, 6, 3), nn.Conv2d(6, 6, 3)
        self.norm1, self.norm2 = nn.BatchNorm2d(6, **norm), nn.BatchNorm2d(6, **norm)
        self.first, self.fc = nn.BatchNorm2d(1), nn.Linear(6, 10)
        if kind == "shared norm":
            self.norm2 = self.norm1
        if kind == "tied weights":
            self.conv1 = nn.Conv2d(6, 6, 3)
            self.conv2.weight = self.conv1.weight

    def forward(self, x: Tensor) -> Tensor:
        if self.kind == "before":
            x = self.first(x)
        x = x.expand(-1, 6, -1, -1) if self.kind == "tied weights" else x
        made = self.conv1(x)
        x = F.relu(self.norm1(made))
        if self.kind == "read twice":
            x = x + made
        x = F.relu(self.norm2(self.conv2(x)))
        return self.fc(x.mean((2, 3)))


def gammas(kind: str, norm: nn.BatchNorm2d) -> None:
    """Factors and variances as they should not be."""
    with torch.no_grad():
        if kind == "zero gamma":
            norm.weight[:3] = 0
            norm.bias.uniform_(0.1, 1.0)
        if kind == "nearly zero gamma":
            norm.weight[:3] = 1e-12
            norm.bias.uniform_(0.1, 1.0)
        if kind == "negative gamma":
            norm.weight.neg_()
        if kind == "tiny variance":
            assert norm.running_var is not None
            norm.running_var[:3] = 1e-30


KINDS = ["zero gamma", "nearly zero gamma", "negative gamma", "tiny variance", "no statistics"]
KINDS += ["no affine", "shared norm", "before", "read twice", "tied weights"]


EITHER = [
    pytest.param(kind, aware, marks=[pytest.mark.fuzz] if (place + aware) % 2 else [])
    for place, kind in enumerate(KINDS)
    for aware in (False, True)
]


@pytest.mark.parametrize(("kind", "aware"), EITHER)
def test_batch_norms_are_folded_right_or_left_out(kind: str, aware: bool, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = trained(Normed(kind), 60)
    for norm in (model.norm1, model.norm2):
        gammas(kind, norm)  # type: ignore[arg-type]
    with torch.no_grad():
        exact = torch.cat([model(part) for part in parted(data().test)])
    settings = {"bits": 8, "activation_bits": 8}
    if aware:
        settings |= {"learn": False, "ranges": "minmax", "reestimate": 0}  # type: ignore[dict-item]
    made = as_it_is(model, settings) if aware else quantised(model, settings)
    with torch.no_grad():
        simulated = torch.cat([made[0](part) for part in parted(data().test)])
        off = (simulated - exact).abs().mean() / exact.abs().mean()
    assert off < 0.05
    assert agreement(*made, tmp_path) >= AGREEMENT


def as_it_is(model: nn.Module, settings: dict[str, Any]) -> tuple[nn.Module, Any]:
    """Training with the rounding, without a step of it."""
    fresh, method = copy.deepcopy(model), QuantizationAware(**settings)
    calibration = data().train[:256]
    method.prepare(
        model, CalibrationData(lambda _: [(calibration, data().target)], F.cross_entropy, dict)
    )
    kept, operations = method.kept(model, model.state_dict()), method.finish()
    for operation in operations:
        operation.apply(fresh)
    fresh.load_state_dict(kept)
    return fresh.eval(), operations[-1]
