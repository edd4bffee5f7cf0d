"""The zoo: published sizes, any image, traceable forwards, and a builder that runs nothing else."""

from __future__ import annotations

import sys
from math import sqrt
from pathlib import Path
from typing import Any
from urllib.error import URLError

import pytest
import torch
from omegaconf import OmegaConf
from places import CONF, SEQUENCES
from torch import Tensor, nn

from condenser.errors import ConfigError
from condenser.models import build, torchvision_model
from condenser.models.shufflenet import ChannelShuffle

OTHERS = ("own", "timm", "transformers")  # name no network of their own
STEMS = sorted(path.stem for path in (CONF / "model").glob("*.yaml"))
NAMES = [name for name in STEMS if name not in OTHERS and not name.startswith(SEQUENCES)]
DIGITS, MNIST, CIFAR = (1, 8, 8), (1, 28, 28), (3, 32, 32)


def config(name: str) -> dict[str, Any]:
    return OmegaConf.to_container(OmegaConf.load(CONF / f"model/{name}.yaml"), resolve=True)  # type: ignore[return-value]


def parameters(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


def size(name: str, shape: tuple[int, int, int], classes: int) -> int:
    with torch.device("meta"):  # counted without being drawn
        return parameters(build(config(name), shape, classes))


# Counted on the authors' own definitions: RepDistiller at commit b84f547, 100 classes. Readers of
# the field know them as 0.28M, 0.86M, 1.74M, 1.23M, 7.43M, 0.70M, 0.57M, 2.26M, 3.97M, 9.46M,
# 0.81M, 0.95M and 1.36M.
REPDISTILLER = {
    "resnet8": 83_892,
    "resnet20": 278_324,
    "resnet32": 472_756,
    "resnet44": 667_188,
    "resnet56": 861_620,
    "resnet110": 1_736_564,
    "resnet8x4": 1_233_540,
    "resnet32x4": 7_433_860,
    "wrn_16_1": 180_916,
    "wrn_16_2": 703_284,
    "wrn_40_1": 569_780,
    "wrn_40_2": 2_255_156,
    "vgg8": 3_965_028,
    "vgg13": 9_462_180,
    "mobilenet_v2": 812_836,
    "shufflenet_v1": 949_258,
    "shufflenet_v2": 1_355_528,
}


@pytest.mark.parametrize(("name", "count"), REPDISTILLER.items())
def test_parameters_are_those_of_the_distillation_tables(name: str, count: int) -> None:
    assert size(name, CIFAR, 100) == count


# Caffe's LeNet-5 and LeNet-300-100: 431K and 267K in Han et al. 2015 (arXiv:1506.02626), exact by
# the layers' arithmetic; the others are the arithmetic of the widths that their papers give.
@pytest.mark.parametrize(
    ("name", "count"),
    {
        "lenet5": (25 + 1) * 20 + (500 + 1) * 50 + (800 + 1) * 500 + 5010,
        "lenet_300_100": 266_610,
        "mlp_128": 101_770,
        "mlp_64": 50_890,
        "mlp_32": 25_450,
        "hinton_1200": 785 * 1200 + 1201 * 1200 + 12_010,
        "hinton_800": 785 * 800 + 801 * 800 + 8_010,
    }.items(),
)
def test_parameters_on_mnist(name: str, count: int) -> None:
    assert size(name, MNIST, 10) == count


def test_lenet5_is_caffes_and_its_small_version_at_most_a_tenth() -> None:
    assert size("lenet5", MNIST, 10) == 431_080
    assert size("lenet5_tenth", MNIST, 10) <= 43_108


def test_resnet20_differs_from_hes_by_its_two_projections() -> None:
    """He's zero-padded shortcuts: 0.27M, 269,722 (akamaster/pytorch_resnet_cifar10)."""
    projections = 16 * 32 + 2 * 32 + 32 * 64 + 2 * 64
    assert size("resnet20", CIFAR, 10) == 269_722 + projections


def test_torchvision_sizes_are_the_published_ones() -> None:
    from torchvision.models import MobileNet_V3_Small_Weights as Published

    with torch.device("meta"):
        model = torchvision_model(CIFAR, 1000, "mobilenet_v3_small")
    assert parameters(model) == Published.DEFAULT.meta["num_params"]


@pytest.mark.parametrize("name", NAMES)
def test_every_config_names_itself_and_reads_every_image(name: str) -> None:
    assert config(name)["name"] == ("resnet18" if name == "torchvision" else name)
    for shape, classes in ((DIGITS, 10), (MNIST, 10), (CIFAR, 100)):
        model = build(config(name), shape, classes).eval()
        with torch.no_grad():
            logits = model(torch.randn(2, *shape))
        assert logits.shape == (2, classes)
        assert logits.isfinite().all()


OURS = [name for name in NAMES if "architecture" not in config(name)]


@pytest.mark.parametrize("name", OURS)
def test_fx_traces_it_and_every_layer_is_called_once(name: str) -> None:
    model = build(config(name), CIFAR, 10).eval()
    graph = torch.fx.symbolic_trace(model)
    calls = [str(node.target) for node in graph.graph.nodes if node.op == "call_module"]
    assert len(calls) == len(set(calls))
    functions = {n.target for n in graph.graph.nodes if n.op == "call_function"}
    assert not functions & {torch.relu, torch.relu_, nn.functional.relu}
    image = torch.randn(2, *CIFAR)
    with torch.no_grad():
        torch.testing.assert_close(graph(image), model(image), rtol=0, atol=0)


@pytest.mark.parametrize("name", NAMES)
def test_no_layer_overwrites_its_input(name: str) -> None:
    with torch.device("meta"):
        model = build(config(name), CIFAR, 10)
    assert not [n for n, m in model.named_modules() if getattr(m, "inplace", False)]


RESIDUAL = ["resnet8", "wrn_16_1", "mobilenet_v2", "shufflenet_v1", "shufflenet_v2"]


@pytest.mark.parametrize("name", ["lenet5", *RESIDUAL])
def test_torch_exports_it_for_any_batch(name: str) -> None:
    architecture = config(name)
    if "blocks" in architecture:  # shallow, to be quick: every kind of block is still there
        architecture["blocks"] = [2, 1, 1]
    model = build(architecture, CIFAR, 10).eval()
    batch = torch.export.Dim("batch")
    program = torch.export.export(
        model, (torch.randn(2, *CIFAR),), dynamic_shapes=({0: batch},), strict=False
    )
    image = torch.randn(5, *CIFAR)
    with torch.no_grad():
        torch.testing.assert_close(program.module()(image), model(image))


def test_channel_shuffle_is_torchs() -> None:
    x = torch.randn(2, 12, 3, 3)
    assert torch.equal(ChannelShuffle(3)(x), nn.functional.channel_shuffle(x, 3))


def test_lenet5_keeps_caffes_geometry_unless_the_image_is_small() -> None:
    caffe: Any = build(config("lenet5"), MNIST, 10)
    assert (caffe.conv1.padding, caffe.fc1.in_features) == ((0, 0), 50 * 4 * 4)
    small: Any = build(config("lenet5"), DIGITS, 10)
    assert (small.conv1.padding, small.fc1.in_features) == ((2, 2), 50 * 2 * 2)


def test_hintons_large_net_drops_a_fifth_of_the_pixels_and_half_of_the_units() -> None:
    model = build(config("hinton_1200"), MNIST, 10)
    assert [m.p for m in model.modules() if isinstance(m, nn.Dropout)] == [0.2, 0.5, 0.5]


def test_initial_weights_are_the_papers_and_come_from_the_seed() -> None:
    torch.manual_seed(0)
    first: Any = build(config("resnet8x4"), CIFAR, 10)
    torch.manual_seed(0)
    again: Any = build(config("resnet8x4"), CIFAR, 10)
    pairs = zip(first.parameters(), again.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
    conv = first.layer3[0].conv2.weight
    assert conv.std().item() == pytest.approx(sqrt(2 / (9 * 256)), rel=0.01)
    fc1 = build(config("lenet5"), MNIST, 10).get_parameter("fc1.weight")
    assert fc1.abs().max().item() == pytest.approx(sqrt(3 / 800), rel=0.001)


def test_the_sum_before_an_activation_can_be_read_at_the_activation() -> None:
    model: Any = build(config("resnet8"), CIFAR, 10).eval()
    seen: dict[str, Tensor] = {}
    block = model.layer3[0]
    block.bn2.register_forward_hook(lambda m, i, out: seen.update(branch=out))
    block.downsample.register_forward_hook(lambda m, i, out: seen.update(shortcut=out))
    block.relu2.register_forward_hook(lambda m, i, out: seen.update(before=i[0], after=out))
    model(torch.randn(2, *CIFAR))
    assert torch.equal(seen["before"], seen["branch"] + seen["shortcut"])
    assert seen["before"].min() < 0 <= seen["after"].min()


@pytest.mark.parametrize(
    "target",
    [
        "os.system",
        "",
        "condenser.models",
        "condenser.models.build",
        "condenser.models.__init__.build",
        "condenser.models.importlib.import_module",
        "condenser.models.resnet.torch.load",
        "condenser.models.resnet.ConfigError",
        "condenser.models.resnet.kaiming_fan_out",
        "condenser.models.torchvision_zoo._build",
        "condenser.errors.ConfigError",
        "torchvision.models.resnet18",
    ],
)
def test_a_stored_description_can_only_name_our_networks(target: str) -> None:
    with pytest.raises(ConfigError, match=r"model\._target_"):
        build({"_target_": target, "command": "exit 1"}, CIFAR, 10)


def test_a_network_in_a_new_file_needs_no_entry_anywhere() -> None:
    model = build({"_target_": "condenser.models.resnet.ResNet", "depth": 8}, CIFAR, 10)
    assert type(model).__name__ == "ResNet"


USERS = """
from torch import nn

class Tiny(nn.Sequential):
    def __init__(self, input_shape, num_classes, bias=True):
        channels, height, width = input_shape
        super().__init__(nn.Flatten(), nn.Linear(channels * height * width, num_classes, bias))

def not_a_network(input_shape, num_classes):
    return 3

def deaf(bias):
    return Tiny((1, 1, 1), 1)
"""


@pytest.fixture
def users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "users_nets.py").write_text(USERS)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "users_nets", raising=False)
    return "users_nets"


def test_the_users_own_network_is_built_when_trusted(users: str) -> None:
    architecture = {"_target_": f"{users}.Tiny", "name": "tiny", "bias": False}
    assert parameters(build(architecture, DIGITS, 10, trusted=[f"{users}.Tiny"])) == 640
    with pytest.raises(ConfigError):
        build(architecture, DIGITS, 10)
    with pytest.raises(ConfigError):
        build(architecture, DIGITS, 10, trusted=[users[:-1], f"{users}.Tin"])


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("users_nets.Tinny", "did you mean Tiny"),
        ("users_netz.Tiny", "No module named 'users_netz'"),
        ("users_nets.not_a_network", "a network"),
        ("users_nets.deaf", "a value: users_nets.deaf needs this setting"),
    ],
)
def test_a_wrong_target_of_the_user_is_explained(users: str, target: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build({"_target_": target}, DIGITS, 10, trusted=[target])


@pytest.mark.parametrize(
    ("architecture", "message"),
    [
        (
            {"_target_": "condenser.models.Resnet", "depth": 20},
            "mean condenser.models.ResNet",
        ),
        (
            {"_target_": "condenser.models.ResNet", "dept": 20},
            "model.dept: .*did you mean depth",
        ),
        ({"_target_": "condenser.models.ResNet"}, "model.depth=null"),
        ({"_target_": "condenser.models.ResNet", "depth": 21}, "model.depth=21: must be 6n"),
        ({"_target_": "condenser.models.ResNet", "depth": "deep"}, "depth"),
        ({"_target_": "condenser.models.WideResNet", "depth": 20, "widen": 2}, "model.depth=20"),
        ({"_target_": "condenser.models.MLP", "widths": [8], "dropout": 2}, "model.dropout=2"),
        ({"_target_": "condenser.models.LeNet5", "padding": 0}, "model.padding=0.*8x8"),
        (
            {"_target_": "condenser.models.torchvision_model", "architecture": "resnet81"},
            "model.architecture=resnet81.*did you mean resnet18",
        ),
        (
            {
                "_target_": "condenser.models.torchvision_model",
                "architecture": "resnet18",
                "weights": "IMAGENET1K",
            },
            "model.weights=IMAGENET1K: unknown; did you mean IMAGENET1K_V1",
        ),
    ],
)
def test_a_wrong_value_names_its_key_and_the_nearest(
    architecture: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        build(architecture, DIGITS, 10)


def test_weights_that_cannot_be_downloaded_are_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*args: Any, **kwargs: Any) -> None:
        raise URLError("no route to host")

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", unreachable)
    with pytest.raises(ConfigError, match="model.weights=DEFAULT.*no route") as caught:
        torchvision_model(CIFAR, 10, "squeezenet1_1", "DEFAULT")
    assert "\n" not in str(caught.value)


def test_published_weights_are_fitted_to_grey_images_and_other_classes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A grey image gives what the same image in red, green and blue gave."""
    from torchvision.models import squeezenet1_1

    published = squeezenet1_1().eval()
    monkeypatch.setattr(
        "torchvision.models._api.load_state_dict_from_url",
        lambda *args, **kwargs: published.state_dict(),
    )
    model: Any = torchvision_model((1, 64, 64), 7, "squeezenet1_1", "DEFAULT").eval()
    grey = torch.randn(2, 1, 64, 64)
    with torch.no_grad():
        features = published.features(grey.expand(-1, 3, -1, -1))
        torch.testing.assert_close(model.features(grey), features, rtol=1e-4, atol=1e-4)
    assert model(grey).shape == (2, 7)
