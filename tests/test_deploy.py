"""The deployed file answers as the network that it was made of."""

from __future__ import annotations

import copy
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
from torch import Tensor, nn

from condenser import deploy
from condenser.compress import PostTraining, Quantized
from condenser.data import digits
from condenser.deploy import graph, quantized

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


@cache
def data() -> Digits:
    splits = digits()
    parts: Any = (splits.train, splits.test)
    train, test = ((part.images.float() / 255 - 0.3) / 0.37 for part in parts)
    return Digits(train, splits.train.targets, test)


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
        deploy.to_quantized_onnx(model, operation, data().train[:512], floats, file)
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
            shape = (-1, *[1] * (codes.ndim - 1))
            shifted = codes - zero[0].reshape(shape) if zero else codes
            found[node.input[0].partition(".weight")[0]] = shifted * scale.reshape(shape)
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
    calibrated: Any = made.model.get_submodule("conv1.input_quantizer")
    assert numpy_helper.to_array(tensors["image_scale"]) == calibrated.scale.item()
    assert numpy_helper.to_array(tensors["image_zero_point"]) == calibrated.zero_point.item()


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
        assert tensors[f"{layer}.weight.codes"].data_type == kind
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
