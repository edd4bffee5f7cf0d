"""A quantised network as an ONNX graph: Q/DQ pairs, or weights as integer codes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor, nn

from condenser.compress.quantization import Quantized
from condenser.deploy.graph import INPUT, prepared


def to_quantized_onnx(
    model: nn.Module, operation: Quantized, images: Tensor, float_path: Path, path: Path
) -> None:
    """Write the Q/DQ graph of a network that was quantised by ``operation``.

    Weights already lie on their grid, so that the codes in the file are those of the simulated
    network; a layer's input takes the range that was calibrated; what lies between (sums of
    branches, pooled maps) is calibrated here on the same training images.

    Args:
        images: (n, C, H, W) training images for the ranges that the network does not carry.
        float_path: where ``to_onnx`` wrote the same network.
    """
    if operation.activation_bits is None:
        store_weights_as_codes(model, operation, float_path, path)
        return
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static

    with prepared(float_path, path) as graph:
        quantize_static(
            str(graph),
            str(path),
            CalibrationImages(images),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            nodes_to_exclude=nodes_in_float(operation, graph),
            extra_options={
                "TensorQuantOverrides": trained_ranges(model, operation, graph),
                # Extremes of a batch, averaged over batches: those of all images are outliers, and
                # sums of residual branches lost half a point of accuracy to their coarse steps.
                "CalibMovingAverage": True,
            },
        )


class CalibrationImages:
    """Training images as onnxruntime's calibrators read them: a dict a batch, then None."""

    def __init__(self, images: Tensor, batch: int = 64) -> None:
        self.parts: Iterator[Tensor] = iter(images.cpu().split(batch))

    def get_next(self) -> dict[str, np.ndarray] | None:
        part = next(self.parts, None)
        return None if part is None else {INPUT: part.numpy()}


def trained_ranges(model: nn.Module, operation: Quantized, path: Path) -> dict[str, list[dict]]:
    """Scales and zero points of each quantised layer's input and weight, by name in the graph."""
    import onnx
    from onnxruntime.quantization import QuantType

    inputs = {
        node.input[1]: node.input[0] for node in onnx.load(path).graph.node if len(node.input) > 1
    }
    ranges = {}
    for layer in operation.layers:
        weight = f"{layer}.weight"
        if weight not in inputs or operation.bits_of(layer)[1] is None:
            continue
        quantizer: Any = model.get_submodule(f"{layer}.input_quantizer")
        zero_point = np.array(int(quantizer.zero_point), dtype=np.uint8)
        ranges[inputs[weight]] = [
            {
                "scale": np.array(quantizer.scale.item(), dtype=np.float32),
                "zero_point": zero_point,
                "quant_type": QuantType.QUInt8,
            }
        ]
        ranges[weight] = [
            {
                "axis": 0,
                "scale": scale,
                "zero_point": np.array(0, dtype=np.int8),
                "quant_type": QuantType.QInt8,
            }
            for scale in scales(model, layer)
        ]
    return ranges


def scales(model: nn.Module, layer: str) -> np.ndarray:
    """Of each output channel's weights, float32 (channels,), also where one is for all."""
    channels = model.get_parameter(f"{layer}.weight").shape[0]
    return model.get_buffer(f"{layer}.weight_scale").cpu().expand(channels).numpy()


def nodes_in_float(operation: Quantized, path: Path) -> list[str]:
    """Names of the graph's nodes whose weight or input was left in float."""
    import onnx

    graph = onnx.load(path).graph
    weights = {tensor.name for tensor in graph.initializer if tensor.name.endswith(".weight")}
    whole = {layer for layer in operation.layers if operation.bits_of(layer)[1] is not None}
    left = weights - {f"{layer}.weight" for layer in whole}
    return [node.name for node in graph.node if left.intersection(node.input)]


def store_weights_as_codes(
    model: nn.Module, operation: Quantized, float_path: Path, path: Path
) -> None:
    """Replace float weights in the graph by integer codes and a DequantizeLinear.

    Codes of up to 4 bits are stored as int4, two in a byte; others as int8; without a sign where
    weights have a zero point.
    """
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    graph = onnx.load(float_path)
    floats = {tensor.name: tensor for tensor in graph.graph.initializer}
    kinds = {
        (True, False): TensorProto.INT4,
        (False, False): TensorProto.INT8,
        (True, True): TensorProto.UINT4,
        (False, True): TensorProto.UINT8,
    }
    nodes = []
    for layer in operation.layers:
        name = f"{layer}.weight"
        if name not in floats:
            continue
        weight, scale = numpy_helper.to_array(floats[name]), scales(model, layer)
        zero = zero_points(model, layer) if operation.affine else np.zeros_like(scale)
        shape = (-1, *[1] * (weight.ndim - 1))
        codes = np.rint(weight / scale.reshape(shape)) + zero.reshape(shape)
        kind = kinds[operation.bits_of(layer)[0] <= 4, operation.affine]
        parts = [codes_tensor(f"{name}.codes", codes, kind)]
        parts.append(numpy_helper.from_array(scale, f"{name}.scale"))
        if operation.affine:
            parts.append(codes_tensor(f"{name}.zero_point", zero, kind))
        graph.graph.initializer.remove(floats[name])
        graph.graph.initializer.extend(parts)
        inputs = [part.name for part in parts]
        node = helper.make_node("DequantizeLinear", inputs, [name], axis=0)
        nodes.append(node)
    for node in reversed(nodes):
        graph.graph.node.insert(0, node)
    for opset in graph.opset_import:
        if opset.domain == "":
            opset.version = max(opset.version, 21)  # the first with int4
    onnx.save(graph, path)


def zero_points(model: nn.Module, layer: str) -> np.ndarray:
    channels = model.get_parameter(f"{layer}.weight").shape[0]
    return model.get_buffer(f"{layer}.weight_zero_point").cpu().expand(channels).numpy()


def codes_tensor(name: str, codes: np.ndarray, kind: int) -> Any:
    """Integer codes as an ONNX initializer, those of 4 bits two in a byte, low half first."""
    from onnx import TensorProto, helper

    signed = kind in (TensorProto.INT4, TensorProto.INT8)
    data = codes.reshape(-1).astype(np.int8 if signed else np.uint8)
    if kind in (TensorProto.INT4, TensorProto.UINT4):
        data = np.append(data, np.zeros(data.size % 2, data.dtype)).astype(np.uint8) & 0xF
        data = data[0::2] | (data[1::2] << 4)
    return helper.make_tensor(name, kind, codes.shape, data.tobytes(), raw=True)
