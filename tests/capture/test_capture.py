"""Captured tensors are those of the forward pass, whatever comes after; nothing stays behind."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from condenser.capture import (
    Capture,
    penultimate_of,
    preactivations_of,
    stage_pairs,
    stages_of,
)
from condenser.errors import CondenserError, ConfigError

Build = Callable[..., Any]
IMAGE = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(0))


class Overwriting(nn.Module):
    """A network that overwrites in place: by a module, by +=, and by dropout while it trains."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.bn = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)
        self.relu = nn.ReLU(inplace=True)
        self.wide, self.add = nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 1)
        self.drop = nn.Dropout(0.5, inplace=True)
        self.fc = nn.Linear(4, 2)

    def forward(self, image: Tensor) -> Tensor:
        x = self.relu(self.bn(self.conv(image)))
        y = self.add(x)
        y += self.wide(x)
        x = self.relu(y * 1)
        x = self.wide(x).mean((2, 3))
        return self.fc(self.drop(x))

    def plainly(self, image: Tensor) -> dict[str, Tensor]:
        """The same tensors, with nothing overwritten; dropout off."""
        conv = self.conv(image)
        bn = self.bn(conv)
        add, wide = self.add(bn.relu()), self.wide(bn.relu())
        last = self.wide((add + wide).relu())
        pooled = last.mean((2, 3))
        return {
            "conv": conv,
            "bn": bn,
            "relu:input#0": bn,
            "relu:input": add + wide,
            "relu#0": bn.relu(),
            "relu#1": (add + wide).relu(),
            "relu": (add + wide).relu(),
            "add": add,
            "wide#0": wide,
            "wide": last,
            "drop:input": pooled,
            "fc": self.fc(pooled),
            "": self.fc(pooled),
            ":input": image,
        }


NAMES = list(Overwriting().eval().plainly(IMAGE))


@pytest.fixture
def fresh_compiler() -> Iterator[None]:
    torch.compiler.reset()
    yield
    torch.compiler.reset()


def check(found: dict[str, Tensor], expected: dict[str, Tensor], tolerance: float = 1e-6) -> None:
    assert set(found) == set(expected)
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=tolerance, atol=tolerance, msg=name)


def test_captured_is_what_the_layer_gave_whatever_overwrites_it() -> None:
    model = Overwriting().eval()
    expected = model.plainly(IMAGE)
    with Capture(model, NAMES) as capture:
        for _ in range(3):  # the first forward copies all, later ones only what they have to
            logits = model(IMAGE)
            check(capture.take(), expected)
            torch.testing.assert_close(logits, expected["fc"])


def test_gradients_flow_through_what_was_captured() -> None:
    model = Overwriting().eval()

    def gradients(tensors: dict[str, Tensor]) -> list[Tensor]:
        loss = torch.stack([tensors[name].square().mean() for name in NAMES]).sum()
        return list(torch.autograd.grad(loss, list(model.parameters())))

    expected = gradients(model.plainly(IMAGE))
    with Capture(model, NAMES) as capture:
        for _ in range(2):
            model(IMAGE)
            torch.testing.assert_close(gradients(capture.take()), expected)


def test_only_what_is_overwritten_is_copied() -> None:
    model, given = Overwriting().eval(), {}
    for name in ("conv", "bn"):
        note = lambda _, __, out, name=name: given.update({name: out.data_ptr()})  # noqa: E731
        model.get_submodule(name).register_forward_hook(note)
    with Capture(model, ["conv", "bn"]) as capture:
        for _ in range(2):
            model(IMAGE)
            taken = {name: tensor.data_ptr() for name, tensor in capture.take().items()}
    assert taken["conv"] == given["conv"]
    assert taken["bn"] != given["bn"]


def test_what_only_training_overwrites_is_copied_then() -> None:
    model = Overwriting().eval()
    with Capture(model, ["drop:input"]) as capture:
        for training in (False, False, True, True):
            model.train(training)
            torch.manual_seed(0)
            model(IMAGE)
            pooled = capture.take()["drop:input"]
            assert (pooled != 0).all()  # half of it would be, after dropout


def test_it_agrees_with_another_way_of_looking_inside(network: Build) -> None:
    """torchvision rewrites the network's graph; no hook is involved."""
    from torchvision.models.feature_extraction import create_feature_extractor

    _, model = network("resnet8", (3, 8, 8))
    names = ["layer1", "layer2", "layer3", "layer2.0.bn1", "layer3.0.downsample", "avgpool"]
    extractor = create_feature_extractor(model, names)
    with Capture(model, names) as capture:
        model(IMAGE)
        check(capture.take(), extractor(IMAGE), 0)


def test_nothing_stays_behind(network: Build) -> None:
    _, model = network("resnet8", (3, 8, 8))
    before, state = model(IMAGE), copy.deepcopy(model.state_dict())
    modules = [list(m.__dict__) for m in model.modules()]
    capture = Capture(model, ["layer2", "fc:input"])

    def broken() -> None:
        with capture:
            assert torch.equal(model(IMAGE), before)
            assert any(m._forward_hooks for m in model.modules())
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        broken()
    hooks = [(*m._forward_hooks, *m._forward_pre_hooks) for m in model.modules()]
    assert hooks == [()] * len(hooks)
    assert [list(m.__dict__) for m in model.modules()] == modules
    assert all(torch.equal(model.state_dict()[key], state[key]) for key in state)
    model(IMAGE)
    with pytest.raises(CondenserError, match="layer2.*0×.*open"):
        capture.take()


def test_a_forward_is_taken_once_and_forgets_the_one_before() -> None:
    model = Overwriting().eval()
    with Capture(model, ["relu#1"]) as capture:
        model(IMAGE[:2])
        model(IMAGE[2:])
        expected = model.plainly(IMAGE[2:])
        check(capture.take(), {"relu#1": expected["relu#1"]})
        with pytest.raises(CondenserError, match="relu#1: the last forward called it 0×"):
            capture.take()
        assert not capture.marks and not any(capture.seen.values())  # no graph is kept alive


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("layer4", ["student_layers=layer4", "layer3", "nearest in ResNet"]),
        ("layer2.0.relu", ["layer2.0.relu1", "layer2.0.relu2"]),
        ("zzz", ["conv1", "layer1", "fc"]),
        ("layer2:output", ["layer2:output", ":input"]),
        ("layer2#last", ["layer2#last", "#0"]),
    ],
)
def test_a_wrong_name_is_answered_with_the_nearest(
    network: Build, name: str, words: list[str]
) -> None:
    _, model = network("resnet8", (3, 8, 8))
    with pytest.raises(ConfigError) as raised:
        Capture(model, ["layer1", name], key="student_layers")
    assert all(word in str(raised.value) for word in words)


def test_a_call_that_does_not_happen_is_named() -> None:
    model = Overwriting().eval()
    with Capture(model, ["relu#2"]) as capture:
        model(IMAGE)
        with pytest.raises(CondenserError, match="relu#2: the last forward called it 2×"):
            capture.take()


def test_a_layer_that_gives_no_tensor_is_refused() -> None:
    model = nn.Sequential(nn.Flatten(2), nn.LSTM(64, 3))
    with (
        Capture(model, ["1"]),
        pytest.raises(CondenserError, match="layers=1: gives a tuple, not a tensor"),
    ):
        model(IMAGE)


def test_inputs_given_by_name_are_seen() -> None:
    class Named(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.pool = nn.AvgPool2d(2)

        def forward(self, image: Tensor) -> Tensor:
            return self.pool(input=image)

    model = Named()
    with Capture(model, ["pool:input"]) as capture:
        model(IMAGE)
        assert capture.take()["pool:input"].shape == IMAGE.shape


def test_autocast_and_inference_mode(network: Build) -> None:
    model = Overwriting().eval()
    expected = model.plainly(IMAGE)
    with Capture(model, ["bn", "fc:input"]) as capture:
        for _ in range(2):
            with torch.autocast("cpu", dtype=torch.bfloat16):
                model(IMAGE)
            low = capture.take()
            assert low["bn"].dtype == torch.bfloat16
            torch.testing.assert_close(low["bn"].float(), expected["bn"], rtol=0.05, atol=0.05)
            with torch.inference_mode():
                model(IMAGE)
            torch.testing.assert_close(capture.take()["bn"].clone(), expected["bn"])


COMPILED = ["bn", "relu#0", "relu", "drop:input"]


@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
def test_a_compiled_model(fresh_compiler: None, backend: str) -> None:
    model = Overwriting().eval()
    expected = {name: model.plainly(IMAGE)[name] for name in COMPILED}
    gradient = torch.autograd.grad(expected["bn"].square().sum(), model.conv.weight)
    model.compile(backend=backend)
    with Capture(model, COMPILED) as capture:
        for _ in range(3):
            model(IMAGE)
            found = capture.take()
            check(found, expected)
            own = torch.autograd.grad(found["bn"].square().sum(), model.conv.weight)
            torch.testing.assert_close(own, gradient)
    model(IMAGE)
    assert not any(capture.seen.values())


def test_a_model_that_was_compiled_and_called_before(fresh_compiler: None) -> None:
    model = Overwriting().eval()
    expected = {name: model.plainly(IMAGE)[name] for name in COMPILED}
    model.compile(backend="eager")
    model(IMAGE)
    with Capture(model, COMPILED) as capture:
        model(IMAGE)
        check(capture.take(), expected)
    wrapped = torch.compile(Overwriting().eval(), backend="eager")
    with Capture(wrapped, COMPILED) as capture:  # type: ignore[arg-type]
        wrapped(IMAGE)
        check(capture.take(), expected)


def test_compiled_once_for_the_whole_of_training(fresh_compiler: None) -> None:
    from torch._dynamo.utils import counters

    model = Overwriting()
    counters.clear()
    model.compile(backend="eager")
    with Capture(model, ["bn", "wide"]) as capture:
        for _ in range(4):
            model(IMAGE)
            capture.take()
            model(IMAGE)  # as validation does, which takes nothing
    assert counters["stats"]["unique_graphs"] <= 2
    assert not counters["graph_break"]


def test_names_of_a_model_under_ddp() -> None:
    from torch import distributed

    model = Overwriting().eval()
    store = distributed.HashStore()
    distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
    try:
        parallel = nn.parallel.DistributedDataParallel(model)
        with Capture(parallel, ["bn", "wide#0"]) as capture:
            for _ in range(2):
                parallel(IMAGE).sum().backward()
                expected = model.plainly(IMAGE)
                check(capture.take(), {name: expected[name] for name in ("bn", "wide#0")})
    finally:
        distributed.destroy_process_group()


ZOO: dict[str, tuple[list[str], str, list[str]]] = {
    "resnet8x4": (
        ["layer1", "layer2", "layer3"],
        "fc:input",
        ["layer1.0.relu2:input", "layer2.0.relu2:input", "layer3.0.relu2:input"],
    ),
    "wrn_16_1": (
        ["layer1", "layer2", "layer3"],
        "fc:input",
        ["layer2.0.bn1", "layer3.0.bn1", "bn1"],
    ),
    "vgg8": (
        ["layer2", "layer3", "layer4", "layer5"],
        "classifier:input",
        [f"layer{n}.relu1:input" for n in (2, 3, 4, 5)],
    ),
    "mobilenet_v2": (
        ["layer2", "layer3", "layer5", "layer7"],
        "classifier:input",
        ["layer2", "layer3", "layer5", "layer7"],
    ),
    "shufflenet_v1": (
        ["layer1", "layer2", "layer3"],
        "fc:input",
        ["layer1.3.relu3:input", "layer2.7.relu3:input", "layer3.3.relu3:input"],
    ),
    "lenet5": (
        ["conv1", "pool1", "conv2", "pool2"],
        "fc2:input",
        ["conv1", "pool1", "conv2", "pool2"],
    ),
    "mlp_32": (["fc1"], "fc2:input", ["fc1"]),
}


@pytest.mark.parametrize("name", list(ZOO))
def test_stages_penultimate_and_preactivations_of_the_zoo(network: Build, name: str) -> None:
    _, model = network(name, (3, 32, 32))
    image = torch.randn(1, 3, 32, 32)
    stages, penultimate, before = ZOO[name]
    assert stages_of(model, image) == stages
    assert penultimate_of(model) == penultimate
    assert preactivations_of(model, image, stages) == before
    with Capture(model, [*stages, penultimate, *before]) as capture:
        logits = model(image)
        found = capture.take()
    last = model.get_submodule(penultimate.removesuffix(":input"))
    torch.testing.assert_close(F.linear(found[penultimate], last.weight, last.bias), logits)
    for stage, pre in zip(stages, before, strict=True):
        if pre.endswith(":input"):
            assert torch.equal(found[pre].relu(), found[stage])
            assert (found[pre] < 0).any()


def test_looking_for_layers_changes_nothing(network: Build) -> None:
    _, model = network("resnet8", (3, 8, 8))
    model.train()
    model.layer1.eval()
    state = copy.deepcopy(model.state_dict())
    modes = [m.training for m in model.modules()]
    stages_of(model, IMAGE)
    assert [m.training for m in model.modules()] == modes
    assert all(torch.equal(value, state[key]) for key, value in model.state_dict().items())
    assert not any(m._forward_hooks for m in model.modules())


def test_stages_pair_from_the_deepest(network: Build) -> None:
    student, teacher = network("mobilenet_v2", (3, 32, 32))[1], network("wrn_16_1", (3, 32, 32))[1]
    pairs = stage_pairs(student, teacher, torch.randn(1, 3, 32, 32))
    assert pairs == (["layer3", "layer5", "layer7"], ["layer1", "layer2", "layer3"])


def test_stages_of_vgg_pair_as_in_the_tables_code(network: Build) -> None:
    """RepDistiller compares feat[1:-1]: after blocks 1 to 4 of vgg, counted from 0."""
    image, vgg = torch.randn(1, 3, 32, 32), network("vgg13", (3, 32, 32))[1]
    theirs = [f"layer{n}" for n in (2, 3, 4, 5)]
    assert stage_pairs(network("vgg8", (3, 32, 32))[1], vgg, image) == (theirs, theirs)
    student = network("mobilenet_v2", (3, 32, 32))[1]
    assert stage_pairs(student, vgg, image) == ([f"layer{n}" for n in (2, 3, 5, 7)], theirs)


class Permuted(nn.Module):
    """A block that holds its channels last inside, as ConvNeXt's do."""

    def __init__(self) -> None:
        super().__init__()
        self.inside = nn.Sequential(nn.Linear(4, 12), nn.Linear(12, 4))

    def forward(self, x: Tensor) -> Tensor:
        return self.inside(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


def test_stages_of_a_network_that_does_not_name_them() -> None:
    blocks = [nn.Conv2d(3, 4, 2, 2), Permuted(), nn.Conv2d(4, 5, 2, 2), nn.ReLU()]
    features, head = nn.Sequential(*blocks), [nn.AdaptiveAvgPool2d(3), nn.Flatten()]
    model = nn.Sequential(features, *head, nn.Linear(45, 2))
    assert stages_of(model, torch.randn(2, 3, 16, 16)) == ["0.1", "0"]
    assert preactivations_of(model, torch.randn(2, 3, 16, 16), ["0"]) == ["0.3:input"]


def of_tokens(layers: int) -> Any:
    from torchvision.models import VisionTransformer

    return VisionTransformer(8, 4, layers, 2, 8, 16, num_classes=5)


BLOCKS = [(2, [0, 1]), (3, [0, 1, 2]), (4, [0, 1, 2, 3]), (6, [0, 2, 3, 5]), (12, [2, 5, 8, 11])]


@pytest.mark.parametrize(("layers", "blocks"), BLOCKS)
def test_stages_of_a_vision_transformer_are_blocks_evenly_spaced(
    layers: int, blocks: list[int]
) -> None:
    model = of_tokens(layers)
    stages = [f"encoder.layers.encoder_layer_{n}" for n in blocks]
    assert stages_of(model, IMAGE) == stages
    assert preactivations_of(model, IMAGE, stages) == stages
    with Capture(model, [*stages, penultimate_of(model)]) as capture:
        logits = model(IMAGE)
        found = capture.take()
    assert all(found[stage].shape == (4, 5, 8) for stage in stages)
    assert torch.equal(model.heads(found["heads.head:input"]), logits)


def test_tokens_within_a_network_of_maps_are_no_stages() -> None:
    class Attention(nn.Module):
        """Looks everywhere, and gives a map back."""

        def __init__(self) -> None:
            super().__init__()
            self.blocks = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))

        def forward(self, x: Tensor) -> Tensor:
            return self.blocks(x.flatten(2).mT).mT.unflatten(2, x.shape[2:])

    model = nn.Sequential(nn.Conv2d(3, 4, 2, 2), Attention(), nn.Conv2d(4, 5, 2, 2))
    assert stages_of(model, IMAGE) == ["1", "2"]


def test_a_relu_that_works_twice_is_taken_at_the_end_of_its_block() -> None:
    from condenser.models import torchvision_model

    model, image = torchvision_model((3, 32, 32), 10, "resnet18"), torch.randn(1, 3, 32, 32)
    stages = ["layer1", "layer2", "layer3"]
    assert stages_of(model, image) == stages
    before = preactivations_of(model, image, stages)
    assert before == [f"{stage}.1.relu:input" for stage in stages]
    with Capture(model.eval(), [*stages, *before]) as capture:
        model(image)
        found = capture.take()
    assert all(torch.equal(found[a].relu(), found[b]) for a, b in zip(before, stages, strict=True))


def test_a_network_without_layers_to_find_says_so() -> None:
    with pytest.raises(CondenserError, match="Sequential has no stages"):
        stages_of(nn.Sequential(nn.Flatten(), nn.Linear(192, 2)), IMAGE)
    with pytest.raises(CondenserError, match="no linear classifier"):
        penultimate_of(nn.Sequential(nn.Conv2d(3, 2, 1)))
