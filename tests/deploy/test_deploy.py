"""The deployed file answers as the network that it was made of."""

from __future__ import annotations

import copy
import tomllib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
import pytest
import torch
import torch.nn.functional as F
from onnx import TensorProto, numpy_helper
from places import ROOT
from running import config_of, run_in
from torch import Tensor, nn

from condenser import deploy, measure
from condenser.compress import KMeansSharing, PostTraining, Quantized
from condenser.compress.quantization import folded
from condenser.config import schema
from condenser.data import Normalise, digits
from condenser.data import extras as data_extras
from condenser.deploy import graph, quantized
from condenser.errors import CondenserError, ConfigError
from condenser.measure.behaviour import attribution
from condenser.models import timm_zoo
from condenser.pipeline.plan import make_plan
from condenser.pipeline.stages import export

NETS = ["lenet5", "resnet8"]


class Deployed(NamedTuple):
    """A network, the operation that quantised it, its file in float and the file to deploy."""

    model: nn.Module
    operation: Quantized | None
    float_file: Path
    file: Path


class Digits(NamedTuple):
    train: Tensor
    target: Tensor
    test: Tensor
    pixels: Tensor  # of the test part, as they are stored


@cache
def data() -> Digits:
    splits = digits()
    parts: Any = (splits.train, splits.test)
    train, test = (normalised(part.images) for part in parts)
    return Digits(train, splits.train.targets, test, parts[1].images)


NORMALISATION = ((0.3,), (0.37,))


def normalised(pixels: Tensor) -> Tensor:
    return Normalise(*NORMALISATION)(pixels)


@pytest.fixture(scope="module")
def deployed(network: Any, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Deployed]:
    """Networks that learnt the digits for a second or two, quantised and written; each once."""

    @cache
    def trained(name: str) -> nn.Module:
        _, model = network(name)
        model.train()
        optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
        for _ in range(3):
            for part in torch.randperm(len(data().train)).split(64):
                optimizer.zero_grad()
                F.cross_entropy(model(data().train[part]), data().target[part]).backward()
                optimizer.step()
        return model.eval()

    @cache
    def write(
        name: str, bits: int = 0, activation_bits: int | None = None, exclude: tuple[str, ...] = ()
    ) -> Deployed:
        model, folder = copy.deepcopy(trained(name)), tmp_path_factory.mktemp(name)
        floats, file = folder / "float.onnx", folder / "codes.onnx"
        if not bits:
            deploy.to_onnx(model, data().train[:1], floats)
            return Deployed(model, None, floats, floats)
        compress = PostTraining(bits, activation_bits, exclude=exclude)
        operation = compress(model, data().train[:512])[-1]
        assert isinstance(operation, Quantized)
        deploy.to_onnx(model, data().train[:2], floats)
        deploy.to_quantized_onnx(model, operation, data().train[:2], file)
        return Deployed(model, operation, floats, file)

    return write


def answers(made: Deployed, images: Tensor) -> tuple[Tensor, Tensor]:
    """Logits of the network, and of its file."""
    with torch.no_grad():
        return made.model(images), deploy.session(made.file)(images)


def initializers(path: Path) -> dict[str, TensorProto]:
    return {tensor.name: tensor for tensor in onnx.load(path).graph.initializer}


def dequantized(path: Path) -> dict[str, np.ndarray]:
    """Each layer's weight as the file's codes, scales and zero points give it, by layer name."""
    found, tensors = {}, initializers(path)
    for node in onnx.load(path).graph.node:
        if node.op_type == "DequantizeLinear" and ".weight" in node.input[0]:
            codes, scale, *zero = (
                numpy_helper.to_array(tensors[name]).astype(np.float32) for name in node.input
            )
            (axis,) = (a.i for a in node.attribute if a.name == "axis")
            shape = tuple(-1 if side == axis else 1 for side in range(codes.ndim))
            shifted = codes - zero[0].reshape(shape) if zero else codes
            weight = shifted * scale.reshape(shape)
            found[node.input[0].partition(".weight")[0]] = weight.T if axis else weight
    return found


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("batch", [1, 7])
def test_a_float_file_is_the_network_at_any_batch_size(
    deployed: Callable[..., Deployed], name: str, batch: int
) -> None:
    made = deployed(name)
    onnx.checker.check_model(str(made.file))
    network, file = answers(made, data().test[:batch])
    assert file.shape == (batch, 10)
    torch.testing.assert_close(file, network, rtol=1e-4, atol=1e-4)


def test_a_float_file_holds_its_own_weights_and_little_else(
    deployed: Callable[..., Deployed],
) -> None:
    made = deployed("lenet5")
    weights = sum(4 * p.numel() for p in made.model.parameters())
    assert weights < made.file.stat().st_size < weights + 4_000
    assert 0 < deploy.graph_bytes(made.file) < 4_000
    assert str(Path(deploy.__file__).parent).encode() not in made.file.read_bytes()
    assert list(made.file.parent.iterdir()) == [made.file]  # nothing beside it


@pytest.mark.parametrize("name", NETS)
def test_an_int8_file_decides_as_the_simulated_network(
    deployed: Callable[..., Deployed], name: str
) -> None:
    made = deployed(name, 8, 8)
    onnx.checker.check_model(str(made.file))
    network, file = answers(made, data().test)
    assert (network.argmax(1) == file.argmax(1)).float().mean() >= 0.99
    assert (network - file).abs().mean() < 0.03 * network.abs().max()
    assert made.file.stat().st_size < 0.5 * made.float_file.stat().st_size
    assert sorted(p.name for p in made.file.parent.iterdir()) == ["codes.onnx", "float.onnx"]


@pytest.mark.parametrize("bits", [4, 8])
def test_the_codes_in_a_q_dq_file_are_the_networks_own(
    deployed: Callable[..., Deployed], bits: int
) -> None:
    made = deployed("resnet8", bits, 8)
    assert made.operation is not None
    found = dequantized(made.file)
    assert set(found) == set(made.operation.layers)
    for layer, weight in found.items():
        expected = made.model.get_parameter(f"{layer}.weight").detach().numpy()
        np.testing.assert_allclose(weight, expected, atol=1e-7, err_msg=layer)


def test_inputs_are_rounded_in_the_file_as_in_the_network(
    deployed: Callable[..., Deployed],
) -> None:
    made = deployed("resnet8", 8, 8)
    tensors = initializers(made.file)
    (first,) = [node for node in onnx.load(made.file).graph.node if "image" in node.input]
    scale, zero_point = (numpy_helper.to_array(tensors[name]) for name in first.input[1:])
    calibrated: Any = made.model.get_submodule("conv1.input_quantizer")
    assert (scale, zero_point) == (calibrated.scale.item(), calibrated.zero_point.item())


@pytest.mark.parametrize(
    ("name", "bits", "kind"),
    [
        ("lenet5", 8, TensorProto.INT8),
        ("resnet8", 4, TensorProto.INT4),
    ],
)
def test_a_file_of_weight_codes_is_the_simulated_network(
    deployed: Callable[..., Deployed], name: str, bits: int, kind: int
) -> None:
    made = deployed(name, bits)
    assert made.operation is not None
    onnx.checker.check_model(str(made.file))
    network, file = answers(made, data().test[:100])
    torch.testing.assert_close(file, network, rtol=1e-4, atol=1e-4)
    tensors = initializers(made.file)
    for layer in made.operation.layers:
        assert tensors[f"{layer}.weight_codes"].data_type == kind
        assert f"{layer}.weight" not in tensors
    bytes_a_weight = 1 if kind == TensorProto.INT8 else 0.5
    weights = sum(p.numel() for n, p in made.model.named_parameters() if n.endswith("weight"))
    assert made.file.stat().st_size < bytes_a_weight * weights + 20_000


@pytest.mark.parametrize("activation_bits", [8, None])
def test_excluded_layers_stay_in_float(
    deployed: Callable[..., Deployed], activation_bits: int | None
) -> None:
    made = deployed("resnet8", 8, activation_bits, ("fc", "layer1.*"))
    network, file = answers(made, data().test)
    assert (network.argmax(1) == file.argmax(1)).float().mean() >= 0.99
    left = {"fc", "layer1.0.conv1", "layer1.0.conv2"}
    tensors, codes = initializers(made.file), dequantized(made.file)
    assert "conv1" in codes
    assert not left & set(codes)
    for layer in left:
        stored = numpy_helper.to_array(tensors[f"{layer}.weight"])
        expected = made.model.get_parameter(f"{layer}.weight").detach().numpy()
        np.testing.assert_array_equal(stored, expected)


@pytest.mark.parametrize(
    ("settings", "kind"),
    [
        ({"affine": True, "bits": 8}, TensorProto.UINT8),
        ({"affine": True, "bits": 3}, TensorProto.UINT4),
        ({"per_channel": False, "bits": 4}, TensorProto.INT4),
        ({"first_last": 8, "bits": 4}, TensorProto.INT4),
    ],
    ids=str,
)
def test_every_grid_of_weights_is_in_the_file(
    network: Any, tmp_path: Path, settings: dict[str, Any], kind: int
) -> None:
    model, images = network("resnet8")[1], data().train[:64]
    operation = PostTraining(activation_bits=None, **settings)(model, images)[-1]
    assert isinstance(operation, Quantized)
    made = Deployed(model, operation, tmp_path, tmp_path / "model.onnx")
    write(made, tmp_path, deploy.Form())
    onnx.checker.check_model(str(made.file))
    exact, file = answers(made, data().test[:50])
    torch.testing.assert_close(file, exact, rtol=1e-4, atol=1e-4)
    kinds = {t.data_type for n, t in initializers(made.file).items() if n.endswith("_codes")}
    assert kinds == {kind, *({TensorProto.INT8} if "first_last" in settings else ())}


def test_one_scale_for_a_weight_is_kept_by_a_q_dq_file(network: Any, tmp_path: Path) -> None:
    model, images = network("resnet8")[1], data().train[:256]
    operation = PostTraining(per_channel=False, first_last=8, bits=4)(model, images)[-1]
    assert isinstance(operation, Quantized)
    made = Deployed(model, operation, tmp_path, tmp_path / "model.onnx")
    write(made, tmp_path, deploy.Form())
    for layer, weight in dequantized(made.file).items():
        expected = model.get_parameter(f"{layer}.weight").detach().numpy()
        np.testing.assert_allclose(weight, expected, atol=1e-7, err_msg=layer)
    network_says, file_says = answers(made, data().test)
    assert (network_says - file_says).abs().mean() < 0.03 * network_says.abs().max()


def test_a_codebook_whose_batch_norms_stayed_is_deployed_as_it_was(
    network: Any, tmp_path: Path
) -> None:
    model, images = network("resnet8")[1], data().train[:256]
    for norm in model.modules():
        if isinstance(norm, nn.BatchNorm2d):  # folded, weights would leave the grid of their scale
            norm.weight.data.mul_(3)
    sharing = KMeansSharing(4)
    sharing.prepare(model)
    shared = sharing.finish()
    (operation,) = PostTraining(8, 8)(model, images, shared)  # no batch norm was folded
    assert isinstance(operation, Quantized)
    batch = data().train[256:512]
    with torch.no_grad():
        exact, plain = model(batch), folded(model, operation)
        floats = (graph.without_input_quantizers(net)(batch) for net in (plain, model))
        torch.testing.assert_close(*floats, atol=1e-3, rtol=1e-3)
    assert not any(isinstance(m, nn.BatchNorm2d) for m in plain.modules())
    file = deploy.write(model, deploy.Form(), images, tmp_path / "model", operation)
    given = deploy.session(file)(batch)
    off = (given - exact).square().mean() / exact.var()
    assert off < 0.01


@pytest.mark.parametrize("shape", [(3,), (2, 4), (3, 3, 3)])
def test_int4_codes_are_packed_as_onnx_reads_them(shape: tuple[int, ...]) -> None:
    codes = np.random.default_rng(0).integers(-8, 8, shape).astype(np.int8)
    packed = quantized.codes_tensor("w", codes, TensorProto.INT4)
    np.testing.assert_array_equal(numpy_helper.to_array(packed).astype(np.int8), codes)
    assert len(packed.raw_data) == -(-codes.size // 2)
    whole = quantized.codes_tensor("w", codes, TensorProto.INT8)
    np.testing.assert_array_equal(numpy_helper.to_array(whole), codes)


def test_the_low_half_of_a_byte_comes_first() -> None:
    packed = quantized.codes_tensor("w", np.array([1, -2, 3], np.int8), TensorProto.INT4)
    assert packed.raw_data == bytes([0xE1, 0x03])


def test_a_copy_in_float_leaves_the_network_as_it_was(deployed: Callable[..., Deployed]) -> None:
    model, image = deployed("resnet8", 8, 8).model, data().test[:8]
    with torch.no_grad():
        before = model(image)
        plain = graph.without_input_quantizers(model)
        assert not torch.equal(plain(image), before)
        assert torch.equal(model(image), before)
    assert "conv1.input_quantizer.scale" in model.state_dict()
    assert not any("input_quantizer" in name for name in plain.state_dict())


# --- forms of the file


def write(made: Deployed, folder: Path, form: deploy.Form) -> Path:
    images = data().train[:512]
    return deploy.write(made.model, form, images, folder / "model", made.operation)


@pytest.mark.parametrize("bits", [0, 8])
def test_pixels_go_in_as_they_are_stored(
    deployed: Callable[..., Deployed], tmp_path: Path, bits: int
) -> None:
    made = deployed("resnet8", bits, 8 if bits else None)
    file = write(made, tmp_path, deploy.Form(normalisation=NORMALISATION))
    onnx.checker.check_model(str(file))
    raw, usual = deploy.session(file), deploy.session(made.file)
    assert raw.pixels and not usual.pixels
    torch.testing.assert_close(raw(data().pixels), usual(data().test), rtol=0, atol=1e-5)
    with pytest.raises(AssertionError, match="float32"):
        raw(data().test[:1])


def test_integers_out_of_a_q_dq_graph_are_its_logits_rounded(
    deployed: Callable[..., Deployed], tmp_path: Path
) -> None:
    made = deployed("resnet8", 8, 8)
    file = write(made, tmp_path, deploy.Form(codes=True))
    onnx.checker.check_model(str(file))
    (out,) = onnx.load(file).graph.output
    assert out.type.tensor_type.elem_type == TensorProto.UINT8
    codes, usual = deploy.session(file), deploy.session(made.file)
    notes = {note.key: note.value for note in onnx.load(file).metadata_props}
    scale, zero_point = (float(notes[f"condenser_logits_{k}"]) for k in ("scale", "zero_point"))
    low, high = -zero_point * scale, (255 - zero_point) * scale
    expected = usual(data().test).clamp(low, high)
    assert (codes(data().test) - expected).abs().max() <= 0.51 * scale


def test_integers_out_of_a_float_graph_are_half_a_step_off_at_most(
    deployed: Callable[..., Deployed], tmp_path: Path
) -> None:
    made = deployed("lenet5")
    file = write(made, tmp_path, deploy.Form(codes=True, normalisation=NORMALISATION))
    onnx.checker.check_model(str(file))
    session = deploy.session(file)
    grid = session.running.grid
    assert grid is not None
    with torch.no_grad():
        exact = made.model(data().test)
    low, high = (((end - grid[1]) * grid[0]) for end in (0, 255))
    off = (session(data().pixels) - exact.clamp(low, high)).abs().max()
    assert 0 < off < 0.51 * grid[0]


class TinyViT(nn.Module):
    """A transformer of torchvision's kind for 8×8 images; its first layer is a convolution."""

    def __init__(self) -> None:
        super().__init__()
        from torchvision.models import VisionTransformer

        self.colour = nn.Conv2d(1, 3, 1)
        self.vit = VisionTransformer(8, 2, 2, 4, 64, 256, num_classes=10)
        nn.init.normal_(self.vit.heads.head.weight, std=0.1)

    def forward(self, image: Tensor) -> Tensor:
        return self.vit(self.colour(image))


def test_a_transformer_in_dynamic_int8_answers_nearly_as_before(tmp_path: Path) -> None:
    model, images = TinyViT().eval(), data().test[:64]
    floats = deploy.write(model, deploy.Form(), images, tmp_path / "float")
    file = deploy.write(model, deploy.Form(dynamic=True), images, tmp_path / "model")
    assert file.stat().st_size < 0.4 * floats.stat().st_size
    kinds = {node.op_type for node in onnx.load(file).graph.node}
    assert "MatMulInteger" in kinds and "Conv" in kinds and "ConvInteger" not in kinds
    with torch.no_grad():
        exact = model(images)
    off = (deploy.session(file)(images) - exact).abs().mean()
    assert 0 < off < 0.03 * exact.abs().mean()
    assert {"vit.heads.head", "vit.encoder.layers.encoder_layer_0.mlp.0"} <= set(
        deploy.matrices(model)
    )


def test_there_is_nothing_dynamic_about_convolutions_alone(tmp_path: Path) -> None:
    net = nn.Sequential(nn.Conv2d(1, 10, 8), nn.Flatten())
    with pytest.raises(ConfigError, match=r"export\.dynamic=true: must be false for a network"):
        deploy.write(net, deploy.Form(dynamic=True), data().test[:2], tmp_path / "model")


# --- runtimes that may be missing


@pytest.mark.parametrize("bits", [0, 8])
def test_openvino_answers_as_the_network(
    deployed: Callable[..., Deployed], tmp_path: Path, bits: int
) -> None:
    pytest.importorskip("openvino", reason="the extra openvino is not installed")
    made = deployed("resnet8", bits, 8 if bits else None)
    form = deploy.Form("openvino", normalisation=NORMALISATION, codes=bool(bits))
    file = write(made, tmp_path, form)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["model.bin", "model.xml"]
    assert deploy.size(file) == sum(p.stat().st_size for p in tmp_path.iterdir())
    check_session(made, file, "openvino cpu")


@pytest.mark.parametrize("bits", [0, 8])
def test_executorch_answers_as_the_network(
    deployed: Callable[..., Deployed], tmp_path: Path, bits: int
) -> None:
    for name in ("executorch", "torchao"):
        pytest.importorskip(name, reason="the extra executorch is not installed")
    made = deployed("resnet8", bits, 8 if bits else None)
    file = write(made, tmp_path, deploy.Form("executorch", normalisation=NORMALISATION))
    assert [p.name for p in tmp_path.iterdir()] == ["model.pte"]
    check_session(made, file, "executorch xnnpack cpu")


def check_session(made: Deployed, file: Path, runtime: str) -> None:
    """In float the same numbers; in integers the same decisions, in a third of the bytes."""
    session = deploy.session(file)
    assert (session.runtime, session.pixels) == (runtime, True)
    with torch.no_grad():
        exact = made.model(data().test)
    found = session(data().pixels)
    if made.operation is None:
        torch.testing.assert_close(found, exact, rtol=1e-3, atol=1e-3)
        return
    assert (found.argmax(1) == exact.argmax(1)).float().mean() >= 0.99
    assert (found - exact).abs().mean() < 0.03 * exact.abs().max()
    assert deploy.size(file) < 4 * sum(p.numel() for p in made.model.parameters()) * 0.75
    assert deploy.peak_bytes(file) > 0


@pytest.mark.parametrize("target", ["openvino", "executorch"])
def test_a_missing_runtime_is_said_with_what_to_install(
    target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "find_spec", lambda name: None)
    pins = " ".join(export.EXTRAS[target].values())
    with pytest.raises(ConfigError, match=f"export.target={target}: .*: pip install {pins}$"):
        make_plan(config_of("recipe=[teacher,export]", f"export.target={target}"))


def test_extras_are_pinned_once_and_the_same_everywhere() -> None:
    lines = (ROOT / "requirements-extras.txt").read_text().splitlines()
    pins = {line.split()[0] for line in lines if "==" in line.split("#")[0]}
    own = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    models = {name: {name: pin} for name, pin in timm_zoo.PINS.items()}
    extras = export.EXTRAS | data_extras.EXTRAS | models | attribution.EXTRAS
    assert pins == {pin for needed in extras.values() for pin in needed.values()}
    assert own["optional-dependencies"] == {
        name: list(needed.values()) for name, needed in extras.items()
    }


# --- what is refused


class Fixed(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.view(2, 64)


class Deciding(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x if x.sum() > 0 else -x


class Unknown(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.linalg.eigvalsh(x @ x.mT)


@pytest.mark.parametrize(
    ("layer", "said"),
    [
        (Fixed(), "in 1 (Fixed): it fixes the number of images, and a file has to take any number"),
        (Deciding(), "in 1 (Deciding): it decides on the values of a tensor"),
        (Unknown(), "in 1 (Unknown): its operator aten._linalg_eigh has no counterpart there"),
    ],
    ids=["fixed", "deciding", "unknown"],
)
def test_what_cannot_be_a_graph_is_a_line_that_names_the_layer(
    layer: nn.Module, said: str, capfd: pytest.CaptureFixture[str]
) -> None:
    net = nn.Sequential(nn.Identity(), layer, nn.Flatten())
    with pytest.raises(CondenserError) as caught:
        deploy.check(net, deploy.Form(), data().test[:2])
    assert said in str(caught.value) and "\n" not in str(caught.value)
    assert not any(module._forward_hooks for module in net.modules())


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["export.target=onxx"], "export.target=onxx: .*; did you mean onnx"),
        (["export.input=int8"], "export.input=int8: .*unknown; did you mean uint8"),
        (["export.threads=0"], "export.threads=0: must be >= 1"),
    ],
)
def test_bad_settings_are_refused(overrides: list[str], said: str) -> None:
    with pytest.raises(CondenserError, match=said):
        schema.check(config_of(*overrides))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["recipe=[export]"], "needs a model"),
        (["recipe=compress", "export.dynamic=true"], "export.dynamic=true: must be false where"),
        (
            ["recipe=[teacher,export]", "export.target=executorch", "export.output=uint8"],
            "export.output=uint8: must be float32 with export.target=executorch",
        ),
        (
            ["recipe=compress", "quantize.affine=true"],
            "quantize.affine=true: must be false where activations are integers",
        ),
        (
            ["recipe=compress", "quantize=weights", "export.target=executorch"],
            "quantize.activation_bits=null: must be 8 where the recipe goes on with export to",
        ),
    ],
)
def test_forms_that_do_not_go_together_are_refused_before_anything_runs(
    words: list[str], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "find_spec", lambda name: name)
    with pytest.raises(CondenserError, match=said):
        make_plan(config_of(*words))


# --- what is measured of it


def test_memory_is_at_least_the_weights_and_less_for_less(tmp_path: Path) -> None:
    peaks = []
    for width in (16, 2500):
        net = nn.Sequential(nn.Flatten(), nn.Linear(64, width), nn.Linear(width, width))
        file = tmp_path / f"{width}.onnx"
        deploy.to_onnx(net, data().test[:2], file)
        peaks.append(deploy.peak_bytes(file))
    assert peaks[1] > 4 * 2500 * 2500 > peaks[0] > 0
    with pytest.raises(CondenserError, match="cannot be run by itself"):
        deploy.peak_bytes(tmp_path / "none.onnx")


def test_a_session_is_timed_under_its_runtimes_name(deployed: Callable[..., Deployed]) -> None:
    session = deploy.session(deployed("lenet5").file, threads=1)
    images = data().test[:4]
    times = measure.call_latency(session.call(images), 4, session.runtime, 1, budget_s=0.02)
    assert set(times) == {"ms_b4", "iqr_b4", "runtime", "threads"}
    assert times["runtime"] == "onnxruntime cpu" and 0 < float(times["ms_b4"]) < 500


def test_a_run_measures_the_file_with_raw_pixels(tmp_path: Path) -> None:
    own = ("export.input=uint8", "export.output=uint8", "optim.epochs=3")
    teacher, exported = run_in(tmp_path, "recipe=[teacher,export]", *own)
    assert exported["export/agreement"] >= 0.98  # type: ignore[operator]
    assert exported["test/accuracy"] == pytest.approx(teacher["test/accuracy"], abs=0.02)
    assert exported["export/latency_iqr_ms"] >= 0  # type: ignore[operator]
    assert exported["memory/peak_bytes"] > 0  # type: ignore[operator]
    assert exported["energy/uj"] == teacher["energy/uj"] > 0  # type: ignore[operator]
    folder = tmp_path / f".store/export-{exported['key']}"
    assert deploy.session(folder / "model.onnx").pixels
    assert not list(folder.glob("float*")) and not list(folder.glob("dense*"))
