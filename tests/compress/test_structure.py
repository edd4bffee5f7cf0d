"""A cut network is the network with those channels at zero, only smaller."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from places import CONF
from torch import Tensor, nn

from condenser.checkpoint.model_spec import ModelSpec, load, save
from condenser.compress import CalibrationData, Magnitude, Operation, PostTraining, WeightPruning
from condenser.compress.blocks.residual import removable
from condenser.compress.channels import (
    CutBlocks,
    CutChannels,
    CutHeads,
    Density,
    Group,
    KeptChannels,
    LossChange,
    OpenAttention,
    RandomBlock,
    RemovedBlocks,
    Slice,
    predicted,
)
from condenser.compress.channels.graph import channel_groups
from condenser.compress.channels.operations import as_ranges, from_ranges
from condenser.compress.channels.verify import agrees
from condenser.compress.left_alone import left_alone, weights_of
from condenser.compress.scores import (
    LAMP,
    Activation,
    BatchNormScale,
    Criterion,
    Hessian,
    Movement,
    Norm,
    Random,
    Taylor,
)
from condenser.compress.scores.lamp import lamp
from condenser.errors import ConfigError, DamagedError
from condenser.functional.pruning import layerwise_threshold
from condenser.measure import compute, size

SMALL = (1, 16, 16)
Made = tuple[ModelSpec, nn.Module]


def randn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def tiny_vit(input_shape: tuple[int, int, int], num_classes: int) -> nn.Module:
    from torchvision.models import VisionTransformer

    return VisionTransformer(16, 4, 2, 4, hidden_dim=16, mlp_dim=32, num_classes=num_classes)


def tiny_swin(input_shape: tuple[int, int, int], num_classes: int) -> nn.Module:
    from torchvision.models import SwinTransformer

    return SwinTransformer([2, 2], 8, [2, 2], [2, 4], [2, 2], num_classes=num_classes)


OWN = [f"{__name__}.tiny_vit", f"{__name__}.tiny_swin"]
ELSEWHERE: dict[str, tuple[dict[str, Any], tuple[int, int, int]]] = {
    "torchvision resnet18": (
        {"_target_": "condenser.models.torchvision_model", "architecture": "resnet18"},
        (3, 32, 32),
    ),
    "torchvision mobilenet_v2": (
        {"_target_": "condenser.models.torchvision_model", "architecture": "mobilenet_v2"},
        (3, 32, 32),
    ),
    "shufflenet_v2": (
        {
            "_target_": "condenser.models.ShuffleNetV2",
            "widths": [8, 16, 32, 64],
            "blocks": [1, 2, 1],
        },
        SMALL,
    ),
    "vit": ({"_target_": OWN[0]}, (3, 16, 16)),
    "swin": ({"_target_": OWN[1]}, (3, 16, 16)),
}
OURS = ["mlp_128", "lenet5", "vgg8", "resnet20", "wrn_16_2", "mobilenet_v2"]
NETS = [*OURS, *ELSEWHERE]


@pytest.fixture(scope="module")
def made(network: Any) -> Callable[[str], Made]:
    """A network by name, its weights and norms lived-in."""

    @cache
    def build(name: str) -> Made:
        if name not in ELSEWHERE:
            return network(name, SMALL)
        torch.manual_seed(0)
        architecture, shape = ELSEWHERE[name]
        spec = ModelSpec(architecture, shape, 10)
        return spec, lived_in(spec.build(OWN)).eval()

    return build


def lived_in(model: nn.Module) -> nn.Module:
    """Torchvision's heads start at zero and its norms at one: a test would not see a wrong cut."""
    with torch.no_grad():
        for parameter in model.parameters():
            spread = 0.2 if parameter.dim() < 2 else 0.5 / max(parameter[0].numel(), 1) ** 0.5
            parameter.add_(torch.randn_like(parameter) * spread)
    return model


def images(spec: ModelSpec, n: int = 8, seed: int = 1) -> Tensor:
    return randn(n, *spec.input_shape, seed=seed)


def calibration(shape: tuple[int, int, int] = SMALL) -> CalibrationData:
    seen, targets = randn(64, *shape, seed=2), torch.arange(64) % 10
    return CalibrationData(lambda n: [(seen[:n], targets[:n])], F.cross_entropy, dict)


def cut(made: Made, compression: Any) -> tuple[nn.Module, list[Operation]]:
    """A cut copy, and what was done."""
    spec, model = made
    model = copy.deepcopy(model)
    compression.prepare(model, calibration(spec.input_shape))
    return model, compression.finish()


def places(text: str) -> list[int]:
    """Ranges as text, read without the code under test."""
    runs = (run.split("-") for run in text.split(","))
    return [place for run in runs for place in range(int(run[0]), int(run[-1]) + 1)]


def masked(model: nn.Module, done: KeptChannels) -> nn.Module:
    """The whole network with the cut channels made zero where they are made: by hand."""
    model = copy.deepcopy(model)
    for name, sides in done.layers.items():
        layer: Any = model.get_submodule(name)
        if "out" in sides:
            gone = np.setdiff1d(np.arange(len(layer.weight)), places(sides["out"]))
            layer.weight.data[gone] = 0
            if layer.bias is not None:
                layer.bias.data[gone] = 0
    return model


def close(a: Tensor, b: Tensor) -> bool:
    return bool((a - b).abs().max() <= 1e-5 * b.abs().max())


# --- channels: the laws, on every kind of network


@pytest.mark.parametrize("name", NETS)
def test_a_cut_network_is_the_masked_one_of_the_predicted_size_bit_for_bit_on_disk(
    tmp_path: Path, made: Any, name: str
) -> None:
    spec, model = made(name)
    image = images(spec)
    compression = CutChannels(Random(3), rate=0.4, scope=layerwise_threshold)
    small, done = cut((spec, model), compression)
    assert isinstance(done[0], KeptChannels) and len(done) == 1
    before, after = model(image), small(image)
    assert after.shape == before.shape
    assert close(after, masked(model, done[0])(image))
    assert not close(after, before), "nothing of consequence was cut"

    measured = compute(small, image[:1]) | size(small)
    assert compression.predicted == {key: measured[key] for key in ("macs", "params")}
    assert measured["params"] < size(model)["params"]

    save(tmp_path, spec.then(done), small)
    back = load(tmp_path, trusted=OWN)[1]
    assert torch.equal(back(image), after)
    assert size(back) == size(small)


@pytest.mark.parametrize("name", ["lenet5", "resnet8", "vit"])
def test_replayed_on_the_weights_from_before_it_is_the_same_cut(made: Any, name: str) -> None:
    spec, model = made(name)
    small, done = cut((spec, model), CutChannels(Norm(), rate=0.5))
    again = copy.deepcopy(model)
    for operation in done:
        Operation.from_json(operation.to_json()).apply(again)
    state = again.state_dict()
    assert state.keys() == small.state_dict().keys()
    assert all(torch.equal(state[key], value) for key, value in small.state_dict().items())


def test_lenet5_by_hand(made: Any) -> None:
    """20 → 10, 50 → 25 and 500 → 250: every number from the layers' formulas."""
    _, model = made("lenet5")
    small, done = cut(made("lenet5"), CutChannels(Norm(), rate=0.5, scope=layerwise_threshold))
    shapes = {key: tuple(value.shape) for key, value in small.state_dict().items()}
    assert shapes == {
        "conv1.weight": (10, 1, 5, 5),
        "conv1.bias": (10,),
        "conv2.weight": (25, 10, 5, 5),
        "conv2.bias": (25,),
        "fc1.weight": (250, 25),
        "fc1.bias": (250,),
        "fc2.weight": (10, 250),
        "fc2.bias": (10,),
    }
    macs = 10 * 25 * 12**2 + 25 * 10 * 25 * 2**2 + 250 * 25 + 10 * 250
    assert compute(small, randn(1, *SMALL))["macs"] == macs
    filters = model.get_parameter("conv1.weight").detach().abs().sum((1, 2, 3)).numpy()
    assert isinstance(done[0], KeptChannels)
    assert places(done[0].layers["conv1"]["out"]) == sorted(np.argsort(filters)[10:].tolist())
    assert places(done[0].layers["conv2"]["in"]) == places(done[0].layers["conv1"]["out"])


def test_a_flattened_channel_takes_all_its_places(network: Any) -> None:
    _, model = network("lenet5", (1, 28, 28))
    compression = CutChannels(Norm(), rate=0.5, scope=layerwise_threshold)
    compression.prepare(model, calibration((1, 28, 28)))
    (done,) = compression.finish()
    assert isinstance(done, KeptChannels)
    channels = places(done.layers["conv2"]["out"])
    assert places(done.layers["fc1"]["in"]) == [16 * c + i for c in channels for i in range(16)]


def test_one_threshold_for_all_groups_takes_exactly_the_rate(made: Any) -> None:
    model = made("resnet8")[1]
    groups, _ = channel_groups(model, randn(1, *SMALL))
    total = sum(group.size for group in groups)
    assert total == 2 * (16 + 32 + 64)  # a stage's sum, and the inside of its only block
    _, (done,) = cut(made("resnet8"), CutChannels(Norm(), rate=0.3))
    assert isinstance(done, KeptChannels)
    gone = {
        group.name: group.size - len(places(done.layers[group.name]["out"]))
        for group in groups
        if group.name in done.layers
    }
    assert sum(gone.values()) == round(0.3 * total)
    assert len(set(gone.values())) > 1
    assert model.get_submodule("fc").out_features == 10


def test_training_goes_on_as_it_would_have(made: Any) -> None:
    """Modes, frozen weights and hooks are as before; the small network learns."""
    spec, model = made("resnet8")
    model = copy.deepcopy(model).train()
    model.get_submodule("bn1").eval()
    model.get_parameter("layer1.0.conv1.weight").requires_grad_(False)
    modes = {name: module.training for name, module in model.named_modules()}
    CutChannels(Taylor(images=32), rate=0.5).prepare(model, calibration())
    assert {name: module.training for name, module in model.named_modules()} == modes
    frozen = [name for name, p in model.named_parameters() if not p.requires_grad]
    assert frozen == ["layer1.0.conv1.weight"]
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())
    assert all(p.grad is None for p in model.parameters())
    F.cross_entropy(model(images(spec)), torch.arange(8)).backward()
    assert all(
        p.grad is not None and p.grad.any() for n, p in model.named_parameters() if n not in frozen
    )


# --- what is asked for


@pytest.mark.parametrize("key", ["macs", "params"])
@pytest.mark.parametrize("name", ["lenet5", "resnet8"])
def test_the_fewest_channels_go_that_reach_the_target(made: Any, name: str, key: str) -> None:
    spec, model = made(name)
    image = randn(1, *SMALL)
    dense = (compute(model, image) | size(model))[key]
    target: dict[str, Any] = {key: 0.5}
    small, (done,) = cut((spec, model), CutChannels(Norm(), **target))
    assert (compute(small, image) | size(small))[key] <= 0.5 * dense
    groups, _ = channel_groups(model, image)
    scores = Norm().channels(model, groups, None)
    assert isinstance(done, KeptChannels)
    masks = {}
    for group in groups:
        kept = (
            places(done.layers[group.name]["out"])
            if group.name in done.layers
            else range(group.size)
        )
        masks[group.name] = torch.isin(torch.arange(group.size), torch.tensor(list(kept)))
    best = max(float(scores[n][~mask].max()) for n, mask in masks.items() if not mask.all())
    for name, mask in masks.items():  # the last one to go comes back
        mask |= scores[name] >= best
    assert predicted(model, image, groups, masks)[key] > 0.5 * dense


def test_channels_come_in_multiples_and_never_fewer_than_the_least(made: Any) -> None:
    small, _ = cut(made("resnet8"), CutChannels(Norm(), rate=0.45, round_to=8))
    widths = [m.out_channels for m in small.modules() if isinstance(m, nn.Conv2d)]
    assert all(width % 8 == 0 for width in widths) and sum(widths) < 2 * (16 + 32 + 64)
    small, _ = cut(
        made("lenet5"), CutChannels(Norm(), rate=0.9, scope=layerwise_threshold, min_channels=4)
    )
    widths = [m.out_channels for m in small.modules() if isinstance(m, nn.Conv2d)]
    assert widths == [4, 5]


def test_excluded_layers_keep_their_channels(made: Any) -> None:
    compression = CutChannels(Norm(), rate=0.5, exclude=["conv*"])
    small, _ = cut(made("lenet5"), compression)
    assert small.get_submodule("conv1").out_channels == 20
    assert small.get_submodule("conv2").out_channels == 50
    assert small.get_submodule("fc1").out_features == 250
    assert compression.skipped == {
        "conv1": "exclude names conv1",
        "conv2": "exclude names conv2",
        "fc2": "its channels are the network's outputs",
    }
    # A layer deep in a group of coupled ones keeps the whole group.
    compression = CutChannels(Norm(), rate=0.5, exclude=["layer1.0.conv2"])
    small, _ = cut(made("resnet8"), compression)
    assert small.get_submodule("conv1").out_channels == 16
    assert compression.skipped["conv1"] == "exclude names layer1.0.conv2"


class Spy(Norm):
    """Looks at what each step is given."""

    def __init__(self) -> None:
        super().__init__()
        self.zeros: list[int] = []

    def channels(
        self, model: nn.Module, groups: list[Group], calibration: Any
    ) -> dict[str, Tensor]:
        weight = model.get_parameter("fc1.weight")
        self.zeros.append(int((weight == 0).all(1).sum()))
        return super().channels(model, groups, calibration)


def test_steps_see_what_the_steps_before_left(made: Any) -> None:
    spy = Spy()
    compression = CutChannels(spy, rate=0.5, scope=layerwise_threshold, steps=5)
    small, _ = cut(made("mlp_128"), compression)
    assert spy.zeros == [0, 13, 26, 38, 51]  # round(128 · 0.1 · step)
    assert small.get_submodule("fc1").out_features == 64
    assert not (small.get_parameter("fc1.weight") == 0).all(1).any()


# --- criteria of channels, against numbers computed otherwise


@pytest.fixture
def pair() -> nn.Sequential:
    torch.manual_seed(1)
    net = nn.Sequential(nn.Conv2d(1, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Flatten())
    net.extend([nn.Linear(6 * 36, 10)])
    lived_in(net)
    return net.double().eval()


def double_probe() -> CalibrationData:
    seen, targets = randn(40, 1, 8, 8, seed=3).double(), torch.arange(40) % 10
    return CalibrationData(lambda n: [(seen[:n], targets[:n])], F.cross_entropy, dict)


def scores(criterion: Criterion, model: nn.Module) -> np.ndarray:
    groups, _ = channel_groups(copy.deepcopy(model).float(), randn(1, 1, 8, 8))
    assert [group.name for group in groups] == ["0"]
    return criterion.channels(model, groups, double_probe())["0"].numpy()


def array(model: nn.Module, name: str) -> np.ndarray:
    return model.get_parameter(name).detach().numpy()


@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize("readers", [False, True])
def test_norms_are_numpys(pair: nn.Sequential, p: int, readers: bool) -> None:
    made = np.linalg.norm(array(pair, "0.weight").reshape(6, -1), ord=p, axis=1)
    read = array(pair, "4.weight").reshape(10, 6, 36).transpose(1, 0, 2).reshape(6, -1)
    both = (made**p + np.linalg.norm(read, ord=p, axis=1) ** p) ** (1 / p)
    expected = both if readers else made
    found = scores(Norm(p, readers, relative=False), pair)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    found = scores(Norm(p, readers), pair)
    np.testing.assert_allclose(found, expected / expected.mean(), rtol=1e-5)


def test_lamp_is_its_definition(pair: nn.Sequential) -> None:
    squares = randn(9).square()
    squares[3] = squares[7]
    expected = [float(s / squares[squares >= s].sum()) for s in squares]
    expected[3] = float(squares[3] / (squares[squares >= squares[3]].sum()))
    found = lamp(squares).tolist()
    assert found[:3] + found[4:7] + found[8:] == pytest.approx(
        expected[:3] + expected[4:7] + expected[8:]
    )
    assert max(found) == pytest.approx(1)
    made = np.linalg.norm(array(pair, "0.weight").reshape(6, -1), axis=1) ** 2
    by_hand = [s / made[made >= s].sum() for s in made]
    np.testing.assert_allclose(scores(LAMP(), pair), by_hand, rtol=1e-5)


def test_slimming_looks_at_the_batch_norm(pair: nn.Sequential) -> None:
    expected = np.abs(array(pair, "1.weight"))
    np.testing.assert_allclose(scores(BatchNormScale(), pair), expected, rtol=1e-6)


def test_taylor_is_the_slope_of_the_loss_as_a_channel_fades(pair: nn.Sequential) -> None:
    """(dL/da)² where channel c is read times a: central differences, batch by batch."""
    seen, targets = double_probe().sample(40)
    slopes, step = np.zeros((4, 6)), 1e-6
    for c in range(6):
        for batch in range(4):
            losses = []
            for a in (1 + step, 1 - step):
                faded = copy.deepcopy(pair)
                faded.get_parameter("4.weight").data[:, 36 * c : 36 * (c + 1)] *= a
                part = slice(10 * batch, 10 * (batch + 1))
                losses.append(F.cross_entropy(faded(seen[part]), targets[part]).item())
            slopes[batch, c] = (losses[0] - losses[1]) / (2 * step)
    found = scores(Taylor(images=40, batch=10), pair)
    np.testing.assert_allclose(found, (slopes**2).mean(0), rtol=1e-4)


def test_activation_is_the_mean_size_of_what_is_read(pair: nn.Sequential) -> None:
    with torch.no_grad():
        maps = pair[:3](double_probe().sample(30)[0])
    expected = maps.abs().mean((0, 2, 3)).numpy()
    np.testing.assert_allclose(scores(Activation(images=30), pair), expected, rtol=1e-5)


def test_random_is_a_function_of_the_seed(pair: nn.Sequential) -> None:
    first, again, other = (scores(Random(seed), pair) for seed in (0, 0, 1))
    assert (first == again).all() and (first != other).any()


@pytest.mark.parametrize("criterion", [Magnitude(), Hessian(40), Movement(40, 10)])
def test_a_channels_score_is_the_sum_of_its_weights(
    pair: nn.Sequential, criterion: Criterion
) -> None:
    weight = pair.get_parameter("0.weight")
    found = scores(criterion, pair)
    of_weights = criterion("0", weight).detach().reshape(6, -1).sum(1).numpy()  # type: ignore[arg-type]
    if isinstance(criterion, Magnitude):
        of_weights = of_weights / of_weights.mean()
    np.testing.assert_allclose(found, of_weights, rtol=1e-5)


# --- what cannot be cut


def test_every_layer_that_stays_whole_has_its_reason(made: Any) -> None:
    _, skipped = channel_groups(made("vit")[1], randn(1, 3, 16, 16))
    assert skipped.pop("heads.head") == "its channels are the network's outputs"
    assert skipped.pop("conv_proj").endswith("ln_1, which normalises across channels")
    assert set(skipped.values()) == {"its forward is not called as a layer"}
    groups, skipped = channel_groups(made("swin")[1], randn(1, 3, 16, 16))
    assert [group.name for group in groups] == [
        f"features.{stage}.{block}.mlp.0" for stage in (1, 3) for block in (0, 1)
    ]
    weighted = {
        n for n, m in made("swin")[1].named_modules() if isinstance(m, nn.Linear | nn.Conv2d)
    }
    read = {part.layer for group in groups for part in group.slices}
    assert weighted - set(skipped) <= read


def test_shufflenets(network: Any, made: Any) -> None:
    """Grouped convolutions are refused; where the graph fails, the insides of branches are cut."""
    _, model = network("shufflenet_v1", SMALL)
    with pytest.raises(ConfigError, match="grouped convolution"):
        CutChannels(Norm(), rate=0.5).prepare(model, calibration())
    groups, skipped = channel_groups(made("shufflenet_v2")[1], randn(1, *SMALL))
    assert len(groups) == 3 + 1 + 2 + 1  # a unit's inner channels; of the first, its right branch's
    assert "layer1.1.conv1" in {group.name for group in groups}
    assert "torch-pruning cannot trace the network" in skipped["layer1.1.conv3"]


class Crossed(nn.Module):
    """Reads its channels in the opposite order: no graph of layers can see it."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.fc2, self.fc3 = nn.Linear(64, 12), nn.Linear(12, 8), nn.Linear(8, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc3(self.fc2(self.fc1(x.flatten(1)).flip(1)).relu())


def test_a_graph_that_is_wrong_is_found_out() -> None:
    model, image = Crossed(), randn(1, 1, 8, 8)
    groups, skipped = channel_groups(model, image)
    assert [group.name for group in groups] == ["fc2"]
    assert "does not equal zeroing it" in skipped["fc1"]
    every, reverse = torch.arange(12), torch.arange(12).flip(0)
    right = Group(
        "fc1", 12, (Slice("fc1", "out", every, every), Slice("fc2", "in", every, reverse))
    )
    wrong = Group("fc1", 12, (Slice("fc1", "out", every, every), Slice("fc2", "in", every, every)))
    assert agrees(model, image, [right]) and not agrees(model, image, [wrong])


BAD: dict[str, tuple[str, Callable[[], CutChannels | CutBlocks], str]] = {
    "rate 1": (
        "lenet5",
        lambda: CutChannels(Norm(), rate=1.0),
        r"cut\.rate=1\.0.*not including, 1",
    ),
    "a rate below 0": ("lenet5", lambda: CutChannels(Norm(), rate=-0.1), r"cut\.rate=-0\.1"),
    "nothing asked for": ("lenet5", lambda: CutChannels(Norm()), "one of cut.rate, cut.macs"),
    "two goals": ("lenet5", lambda: CutChannels(Norm(), rate=0.5, macs=0.5), "set the others"),
    "no MACs": ("lenet5", lambda: CutChannels(Norm(), macs=0.0), r"cut\.macs=0\.0.*above 0"),
    "half a multiple": ("lenet5", lambda: CutChannels(Norm(), 0.5, round_to=0), r"cut\.round_to=0"),
    "a rate that empties a layer": (
        "lenet5",
        lambda: CutChannels(Norm(), rate=0.98, scope=layerwise_threshold),
        r"cut\.rate=0\.98.*conv1 would be empty.*cut\.min_channels",
    ),
    "MACs out of reach": (
        "lenet5",
        lambda: CutChannels(Norm(), macs=1e-4),
        r"a fraction from 0\.\d+ up",
    ),
    "everything excluded": (
        "lenet5",
        lambda: CutChannels(Norm(), 0.5, exclude=["*"]),
        r"cut\.exclude",
    ),
    "no batch norm": (
        "lenet5",
        lambda: CutChannels(BatchNormScale(), 0.5),
        "conv1, conv2, fc1 has none",
    ),
    "no heads": ("lenet5", lambda: CutHeads(Norm(), 0.5), "a network with heads that can be cut"),
    "heads of another kind": ("swin", lambda: CutHeads(Norm(), 0.5), "ShiftedWindowAttention"),
    "no blocks": ("lenet5", lambda: CutBlocks(LossChange(), 0.5), "residual blocks"),
    "too many blocks": ("resnet8", lambda: CutBlocks(RandomBlock(), count=4), "at most 3"),
    "all blocks": ("resnet8", lambda: CutBlocks(RandomBlock(), rate=1), r"cut\.rate=1"),
    "no number of blocks": ("resnet8", lambda: CutBlocks(RandomBlock()), r"cut\.count"),
}


@pytest.mark.parametrize("what", BAD)
def test_what_cannot_be_done_is_said_before_training(made: Any, what: str) -> None:
    name, compression, words = BAD[what]
    with pytest.raises(ConfigError, match=f"(?s){words}"):
        cut(made(name), compression())


def test_the_nearest_target_is_reachable(made: Any) -> None:
    with pytest.raises(ConfigError) as raised:
        cut(made("lenet5"), CutChannels(Norm(), macs=1e-4))
    nearest = float(str(raised.value).split("a fraction from ")[1].split()[0])
    cut(made("lenet5"), CutChannels(Norm(), macs=nearest))


@pytest.mark.parametrize("criterion", [Taylor(), Activation(), Hessian()])
def test_what_looks_at_data_says_so(made: Any, criterion: Criterion) -> None:
    model = copy.deepcopy(made("lenet5")[1])
    with pytest.raises(ConfigError, match="training images"):
        CutChannels(criterion, 0.5).prepare(model)
    groups, _ = channel_groups(model, randn(1, *SMALL))
    with pytest.raises(ConfigError, match="cut.criterion"):
        criterion.channels(model, groups, None)


# --- heads


def test_opened_attention_is_the_same_function() -> None:
    torch.manual_seed(0)
    closed = lived_in(nn.MultiheadAttention(12, 3, batch_first=True)).eval()
    model = nn.ModuleDict({"attention": closed})
    x = randn(2, 5, 12)
    expected, _ = closed(x, x, x, need_weights=False)
    OpenAttention(["attention"]).apply(model)
    torch.testing.assert_close(model["attention"](x, x, x)[0], expected)


def test_a_head_that_is_cut_is_one_whose_values_nobody_reads(tmp_path: Path, made: Any) -> None:
    spec, model = made("vit")
    image = images(spec)
    compression = CutHeads(Random(1), rate=0.5)
    small, done = cut((spec, model), compression)
    assert [type(operation) for operation in done] == [OpenAttention, KeptChannels]
    assert isinstance(done[1], KeptChannels)
    zeroed = copy.deepcopy(model)
    heads = []
    for layer in range(2):
        name = f"encoder.layers.encoder_layer_{layer}.self_attention"
        kept = done[1].layers.get(f"{name}.out_proj", {"in": "0-15"})["in"]
        gone = np.setdiff1d(np.arange(16), places(kept))
        heads.append(4 - len(gone) // 4)
        weight = zeroed.get_parameter(f"{name}.out_proj.weight")
        weight.data[:, gone] = 0
        assert all(place // 4 in set(gone // 4) for place in gone)
        assert small.get_submodule(name).heads == heads[-1]
    assert sum(heads) == 4
    # torch's own fast path computes in another order
    assert torch.allclose(small(image), zeroed(image), atol=1e-5)
    assert not torch.allclose(small(image), model(image), atol=1e-3)
    measured = compute(small, image[:1]) | size(small)
    assert compression.predicted == {key: measured[key] for key in ("macs", "params")}
    save(tmp_path, spec.then(done), small)
    assert torch.equal(load(tmp_path, trusted=OWN)[1](image), small(image))


# --- blocks


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("resnet20", {f"layer{s}.{b}" for s in (1, 2, 3) for b in range(3)}),
        ("wrn_16_1", {f"layer{s}.{b}" for s in (1, 2, 3) for b in range(2)}),
        ("vit", {f"encoder.layers.encoder_layer_{i}" for i in range(2)}),
        ("swin", {f"features.{s}.{b}" for s in (1, 3) for b in range(2)}),
        ("torchvision resnet18", {f"layer{s}.{b}" for s in (1, 2, 3, 4) for b in range(2)}),
        ("vgg8", {"layer5"}),
    ],
)
def test_the_blocks_that_can_go(made: Any, name: str, expected: set[str]) -> None:
    spec, model = made(name)
    blocks, _ = removable(model, images(spec, 2))
    assert set(blocks) == expected


def test_a_removed_block_is_one_whose_branch_is_silent(tmp_path: Path, made: Any) -> None:
    """bn2 at zero by hand: what is left of resnet20's blocks is relu(shortcut(x))."""
    spec, model = made("resnet20")
    compression = CutBlocks(RandomBlock(seed=4), count=4)
    small, (done,) = cut((spec, model), compression)
    assert isinstance(done, RemovedBlocks) and len(done.remains) == 4
    assert {"layer2.0", "layer3.0"} & set(done.remains), "pick another seed: no shortcut is tried"
    assert any(not left for left in done.remains.values())
    silent = copy.deepcopy(model)
    for name in done.remains:
        nn.init.zeros_(silent.get_parameter(f"{name}.bn2.weight"))
        nn.init.zeros_(silent.get_parameter(f"{name}.bn2.bias"))
    image = images(spec)
    assert torch.equal(small(image), silent(image))
    assert not close(small(image), model(image))
    save(tmp_path, spec.then([done]), small)
    assert torch.equal(load(tmp_path)[1](image), small(image))
    lowest = sorted(compression.scores, key=lambda name: compression.scores[name])[:4]
    assert set(done.remains) == set(lowest)


def test_blocks_are_ranked_by_what_the_loss_loses(made: Any) -> None:
    _, model = made("resnet8")
    compression = CutBlocks(LossChange(images=40), rate=0.34)
    _, (done,) = cut(made("resnet8"), compression)
    seen, targets = calibration().sample(40)
    whole = F.cross_entropy(model(seen), targets).item()
    for name, score in compression.scores.items():
        silent = copy.deepcopy(model)
        nn.init.zeros_(silent.get_parameter(f"{name}.bn2.weight"))
        nn.init.zeros_(silent.get_parameter(f"{name}.bn2.bias"))
        change = F.cross_entropy(silent(seen), targets).item() - whole
        assert score == pytest.approx(change, abs=1e-5)
    assert len(compression.scores) == 3 and isinstance(done, RemovedBlocks)
    assert list(done.remains) == [min(compression.scores, key=compression.scores.__getitem__)]


def test_the_sparsest_block_goes(made: Any) -> None:
    spec, model = made("resnet20")
    model = copy.deepcopy(model)
    for parameter in model.get_submodule("layer2.1").parameters():
        parameter.data[parameter.abs() < 0.05] *= 1e-6
    compression = CutBlocks(Density(threshold=1e-3), count=1)
    _, (done,) = cut((spec, model), compression)
    assert done == RemovedBlocks({"layer2.1": []})
    weights = [model.get_parameter(f"layer2.1.conv{i}.weight") for i in (1, 2)]
    dense = sum(int((w.abs() > 1e-3).sum()) for w in weights) / sum(w.numel() for w in weights)
    assert compression.scores["layer2.1"] == pytest.approx(dense)


def test_a_layer_is_left_alone_for_what_the_module_around_it_is_skipped_for(made: Any) -> None:
    compression = CutBlocks(RandomBlock(), count=1)
    compression.reached, compression.skipped = ["layer1.0.conv1"], {"layer2.0": "it must stay"}
    left = left_alone(weights_of(made("resnet8")[1]), compression)
    assert left["layer2.0.conv1"] == "it must stay"
    assert left["layer3.0.conv1"] == "a layer of a kind that it leaves alone (Conv2d)"
    assert "layer1.0.conv1" not in left


# --- with other operations, before and after


def int8(model: nn.Module, shape: tuple[int, int, int]) -> list[Operation]:
    return PostTraining(8, 8)(model, randn(32, *shape))


def pruned(model: nn.Module, shape: tuple[int, int, int]) -> list[Operation]:
    pruning = WeightPruning(0.6, Magnitude(), scope=layerwise_threshold, until=0.0)
    pruning.prepare(model)
    return pruning.finish()


def by(compression: Callable[[], Any]) -> Callable[..., list[Operation]]:
    def do(model: nn.Module, shape: tuple[int, int, int]) -> list[Operation]:
        made = compression()
        made.prepare(model, calibration(shape))
        return made.finish()

    return do


channels = by(lambda: CutChannels(Norm(), 0.3))
blocks = by(lambda: CutBlocks(RandomBlock(0), count=2))
heads = by(lambda: CutHeads(Norm(), 0.25))
CHAINS: dict[str, tuple[str, list[Any]]] = {
    "cut, cut again, int8": ("resnet8", [channels, channels, int8]),
    "pruned, cut, blocks, int8": ("resnet8", [pruned, channels, blocks, int8]),
    "int8, cut, blocks": ("resnet8", [int8, channels, blocks]),
    "blocks, cut, pruned": ("wrn_16_1", [blocks, channels, pruned]),
    "cut, int8, cut": ("lenet5", [channels, int8, channels]),
    "heads, channels, heads": ("vit", [heads, channels, heads]),
}


@pytest.mark.parametrize("chain", CHAINS)
def test_cuts_live_with_other_operations(tmp_path: Path, made: Any, chain: str) -> None:
    name, steps = CHAINS[chain]
    spec, model = made(name)
    model = copy.deepcopy(model)
    for index, step in enumerate(steps):
        before = size(model)["params"]
        spec = spec.then(step(model, spec.input_shape))
        assert size(model)["params"] < before or step in (int8, pruned)
        folder = tmp_path / str(index)
        folder.mkdir()
        save(folder, spec, model)
        loaded, back = load(folder, trusted=OWN)
        image = images(spec)
        assert json.dumps(loaded.to_json()) == json.dumps(spec.to_json())
        assert torch.equal(back(image), model(image))
        for project in spec.constraints(model):
            project()
        assert torch.equal(back(image), model(image))
        model = back  # the next step works on what was loaded


def test_the_shape_of_what_is_stored_is_checked(made: Any) -> None:
    model = copy.deepcopy(made("lenet5")[1])
    for kept in ("0-20", "3,1", "x", ""):
        with pytest.raises(DamagedError):
            KeptChannels({"conv1": {"out": kept}}).apply(model)


@pytest.mark.parametrize("numbers", [[], [0], [3, 4, 5], [0, 2, 3, 4, 9], list(range(0, 20, 2))])
def test_ranges(numbers: list[int]) -> None:
    text = as_ranges(numbers)
    assert from_ranges(text) == numbers
    assert (places(text) if text else []) == numbers
    assert as_ranges([0, 1, 2, 3, 4, 7]) == "0-4,7"


# --- the config files


@pytest.mark.parametrize("file", sorted(path.stem for path in (CONF / "cut").glob("*.yaml")))
def test_every_config_file_cuts_something(made: Any, file: str) -> None:
    from hydra import compose, initialize_config_dir
    from hydra.utils import instantiate

    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose(overrides=[f"+cut={file}", "+seed=0"])
    compression = instantiate(config.cut)
    normed = file.startswith(("blocks", "bn"))
    name = "vit" if file == "heads" else "resnet8" if normed else "lenet5_tenth"
    small, _ = cut(made(name), compression)
    assert size(small)["params"] < size(made(name)[1])["params"]
