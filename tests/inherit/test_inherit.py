"""What a student takes from its teacher is the teacher's, fits together, and is told."""

from __future__ import annotations

import copy
import json
import math
import re
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from places import CONF, GOLDENS
from torch import Tensor, nn

from condenser.config.instantiate import build
from condenser.errors import ConfigError
from condenser.inherit import Blocks, Channels, Inheritance, Matching
from condenser.models import MLP, LeNet5, MobileNetV2, ResNet, WideResNet, torchvision_model
from condenser.models import build as network
from condenser.models.shufflenet import ChannelShuffle

GOLDEN = json.loads((GOLDENS / "inherit.json").read_text())
IMAGE = torch.randn(3, 3, 8, 8, generator=torch.Generator().manual_seed(7))
SHAPE = (3, 8, 8)


def lived_in(model: nn.Module, seed: int) -> Any:
    """Random values everywhere, in eval mode: nothing is left at a start that others share."""
    generator = torch.Generator().manual_seed(seed)
    for name, tensor in model.state_dict().items():
        if name.endswith("running_var"):
            tensor.uniform_(0.5, 2, generator=generator)
        elif tensor.is_floating_point():
            tensor.normal_(0.1, 0.5 / math.sqrt(max(tensor[0].numel(), 1)), generator=generator)
        else:
            tensor.fill_(seed + 10)
    return model.eval()


def of_conf(name: str, **settings: Any) -> Any:
    architecture: Any = OmegaConf.to_container(OmegaConf.load(CONF / f"model/{name}.yaml"))
    return network(architecture | settings, SHAPE, 10)


# --- a teacher whose other channels are dead

Channel = Callable[[str], tuple[str | None, str | None]]  # layer → names of its outs and its ins


class Joined(nn.Module):
    """Two convolutions side by side, normalised and read together."""

    def __init__(self, left: int, right: int) -> None:
        super().__init__()
        self.left, self.right = nn.Conv2d(3, left, 3), nn.Conv2d(3, right, 3)
        self.norm, self.last = nn.BatchNorm2d(left + right), nn.Conv2d(left + right, 4, 3)
        self.fc = nn.Linear(4 * 4 * 4, 10)

    def forward(self, image: Tensor) -> Tensor:
        both = torch.cat([self.left(image), self.right(image)], 1).relu()
        return self.fc(self.last(self.norm(both)).flatten(1))


def of_mlp(layer: str) -> tuple[str | None, str | None]:
    return {"fc1": ("h1", None), "fc2": ("h2", "h1"), "fc3": (None, "h2")}[layer]


def of_lenet(layer: str) -> tuple[str | None, str | None]:
    first = {"conv1": ("c1", None), "conv2": ("c2", "c1")}
    return (first | {"fc1": ("f", "c2"), "fc2": (None, "f")})[layer]  # type: ignore[operator]


def of_resnet(layer: str) -> tuple[str | None, str | None]:
    if layer in ("conv1", "bn1", "fc"):
        return (None, "s3") if layer == "fc" else ("s1", None)
    stage, block, rest = re.fullmatch(r"layer(\d)\.(\d)\.(.*)", layer).groups()  # type: ignore[union-attr]
    here, inner = f"s{stage}", f"{stage}.{block}"
    before = f"s{max(int(stage) - 1, 1)}" if block == "0" else here
    ins = {"conv1": before, "conv2": inner, "downsample.0": before}
    return inner if rest in ("conv1", "bn1") else here, ins.get(rest)


def of_wrn(layer: str) -> tuple[str | None, str | None]:
    """Batch norms come first; the stem has a width of its own."""
    if "." not in layer:
        return {"conv1": ("s0", None), "bn1": ("s3", None), "fc": (None, "s3")}[layer]
    stage, block, rest = re.fullmatch(r"layer(\d)\.(\d)\.(.*)", layer).groups()  # type: ignore[union-attr]
    here, inner = f"s{stage}", f"{stage}.{block}"
    before = f"s{int(stage) - 1}" if block == "0" else here
    outs = {"bn1": before, "conv1": inner, "bn2": inner, "conv2": here, "downsample": here}
    return outs[rest], {"conv1": before, "conv2": inner, "downsample": before}.get(rest)


def of_mobilenet(layer: str) -> tuple[str | None, str | None]:
    if "." not in layer:
        stem, last = ("s0", None), ("last", "s7")
        ends = {"conv1": stem, "bn1": stem, "conv2": last, "bn2": last}
        return ends.get(layer, (None, "last"))
    stage, block, rest = re.fullmatch(r"layer(\d)\.(\d)\.(.*)", layer).groups()  # type: ignore[union-attr]
    here, inner = f"s{stage}", f"{stage}.{block}"
    before = f"s{int(stage) - 1}" if block == "0" else here
    ins = {"conv1": before, "conv3": inner}
    return here if rest in ("conv3", "bn3") else inner, ins.get(rest)


def of_joined(layer: str) -> tuple[str | None, str | None]:
    both = "l+r"
    known = {"left": ("l", None), "right": ("r", None), "norm": (both, None)}
    return (known | {"last": (None, both), "fc": (None, None)})[layer]  # type: ignore[operator]


NARROW_AND_WIDE = {
    "mlp": (MLP(SHAPE, 10, [5, 7]), MLP(SHAPE, 10, [9, 20]), of_mlp),
    "lenet": (LeNet5(SHAPE, 10, (3, 5, 8)), LeNet5(SHAPE, 10, (7, 12, 20)), of_lenet),
    "resnet": (ResNet(SHAPE, 10, 14, (4, 4, 6, 8)), ResNet(SHAPE, 10, 14), of_resnet),
    "wrn": (WideResNet(SHAPE, 10, 16, 2), WideResNet(SHAPE, 10, 16, 3), of_wrn),
    "mobilenet": (MobileNetV2(SHAPE, 10, 0.25, 2), MobileNetV2(SHAPE, 10, 0.5, 2), of_mobilenet),
    "joined": (Joined(2, 7), Joined(5, 10), of_joined),
}


class Places:
    """Where the narrow network's channels lie in the wide one: drawn once for each name."""

    def __init__(self, seed: int) -> None:
        self.drawn: dict[str, Tensor] = {}
        self.generator = torch.Generator().manual_seed(seed)

    def __call__(self, name: str | None, count: int, total: int) -> Tensor:
        if name is None:
            return torch.arange(count)
        if "+" in name:  # the right ones come behind the five on the left
            return torch.cat([self.drawn["l"], self.drawn["r"] + 5])
        if name not in self.drawn:
            self.drawn[name] = torch.randperm(total, generator=self.generator)[:count]
        drawn = self.drawn[name]
        each = count // len(drawn)  # places of a flattened channel
        return (drawn[:, None] * each + torch.arange(each)).flatten()


def hide(narrow: nn.Module, wide: nn.Module, of: Channel) -> None:
    """Make ``wide`` the same function as ``narrow``: all else in it is zero."""
    places, theirs = Places(3), wide.state_dict()
    for name, small in narrow.state_dict().items():
        layer, large = name.rpartition(".")[0], theirs[name]
        large.fill_(1 if name.endswith("running_var") else 0)
        spots = [
            places(channel, *sizes)
            for channel, *sizes in zip(of(layer), small.shape, large.shape, strict=False)
        ]
        at = tuple(spot.view(-1, *[1] * i) for i, spot in enumerate(reversed(spots)))[::-1]
        large[at if at else ...] = small


@pytest.mark.parametrize("criterion", ["l1", "l2"])
@pytest.mark.parametrize("kind", NARROW_AND_WIDE)
def test_cutting_dead_channels_leaves_the_outputs(kind: str, criterion: str) -> None:
    narrow, wide, of = copy.deepcopy(NARROW_AND_WIDE[kind])
    hide(lived_in(narrow, 1), lived_in(wide, 2), of)
    expected = narrow(IMAGE)
    assert expected.std() > 1e-3
    torch.testing.assert_close(wide(IMAGE), expected, rtol=1e-4, atol=1e-5)
    student = lived_in(copy.deepcopy(narrow), 3)
    told = Channels(criterion)(student, wide, IMAGE)
    torch.testing.assert_close(student(IMAGE), expected, rtol=1e-4, atol=1e-5)
    assert (told.tensors, told.parameters, told.random) == (told.of, 1, ())
    assert told.of == len(student.state_dict())
    assert all(ours == theirs for ours, theirs in told.layers.items())


# --- which channels


@pytest.mark.parametrize(("criterion", "power"), [("l1", 1), ("l2", 2)])
def test_the_channels_are_those_of_the_largest_group_norm(criterion: str, power: int) -> None:
    teacher = lived_in(MLP(SHAPE, 10, [12, 9]), 0)
    student: Any = MLP(SHAPE, 10, [4, 5])
    Channels(criterion)(student, teacher, IMAGE)
    w = {n: t.numpy().astype(np.float64) for n, t in teacher.state_dict().items()}
    kept = []
    for give, take, count in [("fc1", "fc2", 4), ("fc2", "fc3", 5)]:
        own = np.concatenate([w[f"{give}.weight"], w[f"{give}.bias"][:, None]], axis=1)
        norm = (np.abs(np.hstack([own, w[f"{take}.weight"].T])) ** power).sum(1) ** (1 / power)
        kept.append(np.sort(np.argsort(norm)[-count:]))
    first, second = kept
    np.testing.assert_array_equal(student.fc1.weight.detach(), w["fc1.weight"][first])
    np.testing.assert_array_equal(student.fc1.bias.detach(), w["fc1.bias"][first])
    middle = w["fc2.weight"][second][:, first]
    np.testing.assert_array_equal(student.fc2.weight.detach(), middle)
    np.testing.assert_array_equal(student.fc3.weight.detach(), w["fc3.weight"][:, second])


def test_l1_and_l2_are_of_different_minds() -> None:
    """One large weight against many small ones."""
    teacher: Any = MLP((1, 3, 3), 2, [2])
    student: Any = MLP((1, 3, 3), 2, [1])
    for parameter in teacher.parameters():
        parameter.data.zero_()
    teacher.fc1.weight.data[0, 0], teacher.fc1.weight.data[1] = 2.0, 0.5  # Σ 2 or 4.5, √Σ² 2 or 1.5
    for criterion, row in [("l1", 1), ("l2", 0)]:
        Channels(criterion)(student, teacher, torch.zeros(1, 1, 3, 3))
        assert torch.equal(student.fc1.weight[0], teacher.fc1.weight[row])


def test_the_whole_of_a_group_counts() -> None:
    """A channel that the next layers listen to stays, however quiet it is itself."""
    teacher: Any = ResNet(SHAPE, 10, 8)
    for loud in (teacher.layer2[0].conv1, teacher.layer2[0].downsample[0]):
        loud.weight.data[:, [3, 5]] += 9
    student: Any = ResNet(SHAPE, 10, 8, (2, 2, 32, 64))
    Channels("l2")(student, teacher, IMAGE)
    assert torch.equal(student.conv1.weight, teacher.conv1.weight[[3, 5]])
    assert torch.equal(student.layer1[0].bn2.bias, teacher.layer1[0].bn2.bias[[3, 5]])


class Table(nn.Module):
    """A parameter that is no layer's, so that nothing is traced."""

    def __init__(self, shape: list[int]) -> None:
        super().__init__()
        self.table, self.fc = nn.Parameter(torch.zeros(shape)), nn.Linear(3, 2)

    def forward(self, image: Tensor) -> Tensor:
        return self.fc(image.mean((2, 3))) + self.table.sum()


@pytest.mark.parametrize("case", GOLDEN["even"], ids=lambda c: f"{c['teacher']}→{c['student']}")
def test_even_selects_what_the_authors_code_selects(case: dict[str, Any]) -> None:
    teacher: Any = Table(case["teacher"])
    student: Any = Table(case["student"])
    teacher.table.data = torch.arange(float(teacher.table.numel())).view(case["teacher"])
    Channels("even")(student, teacher, IMAGE)
    assert student.table.shape == tuple(case["student"])
    assert student.table.flatten().tolist() == case["kept"]


def test_even_keeps_the_places_of_a_flattened_channel_together() -> None:
    teacher = lived_in(LeNet5((1, 28, 28), 10, (20, 50, 30)), 0)
    student: Any = LeNet5((1, 28, 28), 10, (6, 16, 10))
    Channels("even")(student, teacher, torch.zeros(1, 1, 28, 28))
    first, second = (
        next(c["kept"] for c in GOLDEN["even"] if c["teacher"] == [n]) for n in (20, 50)
    )
    assert torch.equal(student.conv2.weight, teacher.conv2.weight[second][:, first])
    columns = teacher.fc1.weight.view(30, 50, 16)[::3][:, second].flatten(1)
    assert torch.equal(student.fc1.weight, columns)


def test_rescaling_is_by_the_root_of_what_the_fan_in_lost() -> None:
    teacher, image = lived_in(LeNet5(SHAPE, 10, (8, 12, 20)), 0), IMAGE
    plain, scaled = (LeNet5(SHAPE, 10, (2, 9, 20)) for _ in range(2))
    Channels("even")(plain, teacher, image)
    Channels("even", rescale=True)(scaled, teacher, image)
    for name, ratio in [("conv1", 1), ("conv2", 8 / 2), ("fc1", 12 / 9), ("fc2", 1)]:
        ours: Any = scaled.get_submodule(name)
        theirs: Any = plain.get_submodule(name)
        torch.testing.assert_close(ours.weight, theirs.weight * math.sqrt(ratio))
        assert torch.equal(ours.bias, theirs.bias)


# --- which blocks


class Deep(nn.Module):
    """Blocks between two other layers, in a list that a transformer could have."""

    def __init__(self, depth: int) -> None:
        super().__init__()
        middle = (nn.Sequential(nn.Linear(3, 3), nn.ReLU()) for _ in range(depth))
        self.blocks = nn.Sequential(nn.Linear(3, 3), *middle, nn.Linear(3, 10))

    def forward(self, image: Tensor) -> Tensor:
        return self.blocks(image.mean((2, 3)))


@pytest.mark.parametrize("case", GOLDEN["blocks"], ids=lambda c: f"{len(c['take'])} of {c['of']}")
def test_blocks_are_taken_in_equal_steps(case: dict[str, Any]) -> None:
    teacher: Any = Deep(case["of"])
    student: Any = Deep(len(case["take"]))
    told = Blocks()(student, teacher, IMAGE)
    for ours, theirs in enumerate(case["take"], start=1):
        assert torch.equal(student.blocks[ours][0].weight, teacher.blocks[theirs + 1][0].weight)
        assert told.layers[f"blocks.{ours}.0"] == f"blocks.{theirs + 1}.0"
    assert torch.equal(student.blocks[-1].weight, teacher.blocks[-1].weight)
    assert told.layers[f"blocks.{len(student.blocks) - 1}"] == f"blocks.{case['of'] + 1}"
    assert told.parameters == 1


def test_a_resnet_takes_first_and_last_blocks_with_their_statistics() -> None:
    teacher = lived_in(of_conf("resnet32x4"), 1)
    student = lived_in(of_conf("resnet8x4", depth=14), 2)
    told = Blocks()(student, teacher, IMAGE)
    assert (told.tensors, told.parameters) == (told.of, 1)
    assert told.layers["layer2.1.bn1"] == "layer2.4.bn1"
    assert told.layers["layer3.0.downsample.1"] == "layer3.0.downsample.1"
    ours, theirs = student.get_submodule("layer2.1.bn1"), teacher.get_submodule("layer2.4.bn1")
    for name, tensor in theirs.state_dict().items():  # running statistics and the counter, too
        assert torch.equal(ours.state_dict()[name], tensor), name


def test_torchvisions_resnet34_gives_resnet18_its_blocks() -> None:
    with torch.device("meta"):  # names and shapes without 33 million numbers
        large = torchvision_model(SHAPE, 10, "resnet34")
        small = torchvision_model(SHAPE, 10, "resnet18")
    told = Blocks()(small, large, IMAGE)
    blocks = {o: t for o, t in told.layers.items() if o.endswith("conv1") and o.startswith("layer")}
    assert blocks == {
        "layer1.0.conv1": "layer1.0.conv1",
        "layer1.1.conv1": "layer1.2.conv1",
        "layer2.0.conv1": "layer2.0.conv1",
        "layer2.1.conv1": "layer2.3.conv1",
        "layer3.0.conv1": "layer3.0.conv1",
        "layer3.1.conv1": "layer3.5.conv1",
        "layer4.0.conv1": "layer4.0.conv1",
        "layer4.1.conv1": "layer4.2.conv1",
    }
    assert told.parameters == 1


def test_a_deeper_student_takes_the_blocks_that_there_are() -> None:
    teacher, student = lived_in(of_conf("resnet8"), 1), of_conf("resnet20")
    told = Blocks()(student, teacher, IMAGE)
    assert told.layers["layer2.0.conv1"] == "layer2.0.conv1"
    assert torch.equal(student.layer2[0].conv1.weight, teacher.layer2[0].conv1.weight)
    left = {name.rpartition(".")[0].rpartition(".")[0] for name in told.random}
    assert left == {f"layer{stage}.{block}" for stage in (1, 2, 3) for block in (1, 2)}


def test_layers_of_several_kinds_are_not_blocks() -> None:
    teacher, student = lived_in(MLP(SHAPE, 10, [6, 6, 6]), 1), lived_in(MLP(SHAPE, 10, [6]), 2)
    assert Blocks()(student, teacher, IMAGE).random == ("fc2.weight", "fc2.bias")
    assert torch.equal(student.fc1.weight, teacher.fc1.weight)


def test_depth_first_then_width() -> None:
    """Cutting the shallow teacher by hand gives the same, and its groups are what is ranked."""
    teacher = lived_in(of_conf("wrn_40_2"), 1)
    student, by_hand = of_conf("wrn_16_1"), of_conf("wrn_16_1")
    told = Blocks(then=Channels())(student, teacher, IMAGE)
    shallow = of_conf("wrn_16_2")
    names = {name: re.sub(r"(layer\d)\.1", r"\1.5", name) for name in shallow.state_dict()}
    shallow.load_state_dict({n: teacher.state_dict()[old] for n, old in names.items()})
    Channels()(by_hand, shallow, IMAGE)
    for name, tensor in by_hand.state_dict().items():
        assert torch.equal(student.state_dict()[name], tensor), name
    assert told.layers["layer3.1.conv2"] == "layer3.5.conv2"


# --- what fits and what does not


def test_matching_copies_equal_shapes_and_leaves_the_rest() -> None:
    teacher, student = lived_in(of_conf("resnet8"), 1), lived_in(ResNet((3, 8, 8), 7, 8), 2)
    before = copy.deepcopy(student.state_dict())
    told = Matching()(student, teacher, IMAGE)
    assert told.random == ("fc.weight", "fc.bias")
    assert (told.tensors, told.of) == (len(before) - 2, len(before))
    left = student.fc.weight.numel() + student.fc.bias.numel()
    assert told.parameters == 1 - left / sum(p.numel() for p in student.parameters())
    for name, tensor in student.state_dict().items():
        assert torch.equal(tensor, (before if "fc." in name else teacher.state_dict())[name])
    assert "fc" not in told.layers and told.layers["bn1"] == "bn1"


def test_vgg13_gives_vgg8_its_first_convolutions() -> None:
    narrow = {"stages": [[3], [4], [5], [6], [6]]}
    wide = {"stages": [[3, 3], [4, 4], [5, 5], [6, 6], [6, 6]]}
    teacher, student = lived_in(of_conf("vgg13", **wide), 1), of_conf("vgg8", **narrow)
    assert Matching()(student, teacher, IMAGE).parameters == 1
    assert torch.equal(student.layer4.conv1.weight, teacher.layer4.conv1.weight)


def test_what_the_teacher_does_not_have_stays_random() -> None:
    """At unlike widths the student's first stage has a shortcut of its own."""
    teacher: Any = ResNet(SHAPE, 10, 8)
    student: Any = ResNet(SHAPE, 10, 8, (4, 8, 16, 32))
    shortcut = copy.deepcopy(student.layer1[0].downsample.state_dict())
    told = Channels()(student, teacher, IMAGE)
    assert {name.rpartition(".")[0] for name in told.random} == {
        "layer1.0.downsample.0",
        "layer1.0.downsample.1",
    }
    for name, tensor in student.layer1[0].downsample.state_dict().items():
        assert torch.equal(tensor, shortcut[name])
    stem, stream = student.conv1.weight, student.layer1[0].conv2.weight
    theirs = {row.numpy().tobytes() for row in teacher.conv1.weight.detach()}
    assert all(row.numpy().tobytes() in theirs for row in stem.detach())
    assert stream.shape[0] == 8  # both widths are of one group, ranked once


def test_a_student_that_is_wider_in_places_takes_the_others() -> None:
    teacher, student = MLP(SHAPE, 10, [9, 5, 6]), MLP(SHAPE, 10, [4, 8, 6])
    told = Channels()(student, teacher, IMAGE)
    assert told.random == ("fc2.weight", "fc2.bias", "fc3.weight")
    assert list(told.layers) == ["fc1", "fc3", "fc4"]


@pytest.mark.parametrize("criterion", ["l2", "even"])
def test_maps_of_another_size_leave_the_layer_behind_them_alone(criterion: str) -> None:
    """25 places a channel there and 4 here: not even one channel of two fits."""
    teacher = lived_in(LeNet5(SHAPE, 10, (6, 2, 8), padding=4), 1)
    student = lived_in(LeNet5(SHAPE, 10, (3, 1, 4), padding=2), 2)
    told = Channels(criterion)(student, teacher, IMAGE)
    assert "conv2" in told.layers and "fc2" in told.layers
    assert ("fc1.weight" in told.random) == (criterion == "l2")


def test_a_counter_does_not_come_alone() -> None:
    teacher = lived_in(ResNet(SHAPE, 10, 8), 1)
    student: Any = ResNet(SHAPE, 10, 8, (4, 4, 32, 64))
    told = Matching()(student, teacher, IMAGE)
    assert "bn1.num_batches_tracked" in told.random
    assert (student.bn1.num_batches_tracked, teacher.bn1.num_batches_tracked) == (0, 11)
    assert student.layer3[0].bn1.num_batches_tracked == 11


NARROW = (4, 4, 6, 8)
PAIRS: dict[str, tuple[Inheritance, nn.Module, nn.Module]] = {
    "matching": (Matching(), of_conf("resnet8"), of_conf("resnet20")),
    "channels": (Channels(), of_conf("resnet8", widths=NARROW), of_conf("resnet8")),
    "blocks": (Blocks(Channels()), of_conf("resnet8", widths=NARROW), of_conf("resnet20")),
}


@pytest.mark.parametrize("word", PAIRS)
def test_the_teacher_is_only_read_and_twice_is_the_same(word: str) -> None:
    inheritance = PAIRS[word][0]
    student, teacher = (lived_in(copy.deepcopy(net), 2) for net in PAIRS[word][1:])
    lived_in(teacher, 1).requires_grad_(False)
    teacher.conv1.train()
    before, draws = copy.deepcopy(teacher.state_dict()), torch.get_rng_state()
    parameters, again = list(student.parameters()), lived_in(copy.deepcopy(student), 5).train()
    told = inheritance(student, teacher, IMAGE)
    assert inheritance(again, teacher, IMAGE) == told
    assert torch.equal(torch.get_rng_state(), draws)
    assert all(torch.equal(t, before[n]) for n, t in teacher.state_dict().items())
    assert not any(p.requires_grad for p in teacher.parameters())
    assert (teacher.training, teacher.conv1.training, again.training) == (False, True, True)
    assert all(
        a is b and a.requires_grad for a, b in zip(parameters, student.parameters(), strict=True)
    )
    for a, b in zip(student.state_dict().values(), again.state_dict().values(), strict=True):
        assert torch.equal(a, b)
    ours = {t.data_ptr() for t in student.state_dict().values()}
    assert not ours & {t.data_ptr() for t in teacher.state_dict().values()}


# --- refusals


def complaint(inheritance: Inheritance, student: nn.Module, teacher: nn.Module) -> str:
    before = copy.deepcopy(student.state_dict())
    with pytest.raises(ConfigError) as raised:
        inheritance(student, teacher, IMAGE)
    assert all(torch.equal(t, before[n]) for n, t in student.state_dict().items())
    return str(raised.value)


def test_nothing_in_common_says_what_did_not_fit() -> None:
    told = complaint(Matching(), MLP(SHAPE, 10, [8]), MLP(SHAPE, 10, [32]))
    assert told.startswith("inherit=matching: must be ")
    assert "fc1.weight is 8×192 and the teacher's 32×192" in told
    told = complaint(Channels(), of_conf("resnet8"), of_conf("vgg8"))
    assert (
        "inherit=channels" in told and "conv1.weight is 16×3×3×3 and the teacher has none" in told
    )


def test_other_outputs_are_refused() -> None:
    told = complaint(Channels(), MLP(SHAPE, 7, [8]), MLP(SHAPE, 10, [32]))
    assert "inherit=channels: must be a teacher with 7 outputs, not 10" in told


class Normed(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.stem, self.norm, self.fc = (
            nn.Conv2d(3, width, 8),
            nn.LayerNorm(width),
            nn.Linear(width, 10),
        )

    def forward(self, image: Tensor) -> Tensor:
        return self.fc(self.norm(self.stem(image).flatten(1)))


def test_channels_that_cannot_be_cut_say_why() -> None:
    told = complaint(Channels("l2"), Normed(4), Normed(9))
    assert "stem.weight is 4×3×8×8 and the teacher's 9×3×8×8 (its channels pass norm, which" in told
    teacher, student = lived_in(Normed(9), 1), lived_in(Normed(4), 2)
    assert Channels("even")(student, teacher, IMAGE).parameters == 1
    places = [0, 3, 5, 8]  # round(8i/3)
    assert torch.equal(student.stem.bias, teacher.stem.bias[places])
    assert torch.equal(student.fc.weight, teacher.fc.weight[:, places])


class Shuffling(nn.Module):
    """Channel i of group g moves to place 2i + g, on the way from ``first`` to ``second``."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, width, 3), nn.Conv2d(width, 6, 3)
        self.shuffle, self.fc = ChannelShuffle(2), nn.Linear(6 * 4 * 4, 10)

    def forward(self, image: Tensor) -> Tensor:
        return self.fc(self.second(self.shuffle(self.first(image))).flatten(1))


def test_channels_that_go_astray_are_left_random_or_taken_evenly() -> None:
    teacher, student = lived_in(Shuffling(12), 1), lived_in(Shuffling(6), 2)
    told = Channels("l2")(student, teacher, IMAGE)
    assert told.random == ("first.weight", "first.bias", "second.weight")
    assert torch.equal(student.fc.weight, teacher.fc.weight)
    assert Channels("even")(student, teacher, IMAGE).random == ()
    assert torch.equal(student.second.weight, teacher.second.weight[:, ::2])


def test_bad_settings_are_named() -> None:
    bad: list[tuple[Callable[[], Any], str]] = [
        (
            lambda: Channels("l3"),
            "distill.inherit.criterion=l3: unknown; did you mean l2",
        ),
        (lambda: Channels(rescale="yes"), "distill.inherit.rescale=yes: must be true or false"),  # type: ignore[arg-type]
        (lambda: Blocks(then="l2"), "distill.inherit.then=l2: must be null, or an inheritance"),  # type: ignore[arg-type]
    ]
    for make, message in bad:
        with pytest.raises(ConfigError) as raised:
            make()
        assert str(raised.value).startswith(message)


CONFS = sorted((CONF / "inherit").glob("*.yaml"))


@pytest.mark.parametrize("path", CONFS, ids=[path.stem for path in CONFS])
def test_every_config_builds_and_inherits(path: Path) -> None:
    config: Any = OmegaConf.to_container(OmegaConf.load(path))
    inheritance = build(config)
    narrow = (3, 5, 8) if "channels" in path.stem else (7, 12, 20)
    teacher, student = LeNet5(SHAPE, 10, (7, 12, 20)), LeNet5(SHAPE, 10, narrow)
    assert inheritance(student, teacher, IMAGE).parameters == 1
    first, _, last = path.read_text().partition("\n")
    assert first.startswith("# ") and last.startswith("_target_: condenser.inherit.")


def test_narrow_widths_are_in_ascending_places() -> None:
    """The order of channels is the teacher's, as a later stage that reads both expects."""
    teacher = lived_in(MLP(SHAPE, 10, [30]), 4)
    student: Any = MLP(SHAPE, 10, [11])
    Channels()(student, teacher, IMAGE)
    rows = [teacher.fc1.bias.tolist().index(b) for b in student.fc1.bias.tolist()]
    assert all(a < b for a, b in pairwise(rows))
