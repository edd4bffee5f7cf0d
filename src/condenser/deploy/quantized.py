"""Export a quantised network to ONNX with Q/DQ pairs, from its own codes and scales."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from condenser.compress.quantization import Quantized
from condenser.deploy.coded import CODES, coded
from condenser.deploy.graph import to_onnx


def to_quantized_onnx(model: nn.Module, operation: Quantized, images: Tensor, path: Path) -> None:
    """Export a network that was quantised by ``operation``.

    Weight codes, scales, zero points and the set of quantised tensors are the simulated network's;
    what it leaves in float stays float. Codes of up to 4 bits are stored as int4, two per byte,
    others as int8; unsigned if weights have a zero point.

    Args:
        images: (n, C, H, W), two or more, as example inputs.
    """
    to_onnx(coded(model, operation), images, path)
    graph = onnx.load(path)
    once(graph.graph)
    turned(graph.graph)
    looked_up(graph.graph)
    if operation.activation_bits is None:
        narrow(graph, operation)
    for node in bare_zeros(graph.graph, operation):
        del node.input[2]
    unused(graph.graph)
    del graph.graph.value_info[:]  # shapes that an engine finds by itself
    onnx.save(graph, path)


def once(graph: Any) -> None:
    """Remove repeated quantisation to the same grid: codes are passed on."""
    tensors, makers = constants(graph), {out: node for node in graph.node for out in node.output}
    for node in [node for node in graph.node if node.op_type == "QuantizeLinear"]:
        before = makers.get(node.input[0])
        if (
            before is not None
            and before.op_type == "DequantizeLinear"
            and before.input[0] not in tensors
            and all(
                np.array_equal(tensors[a], tensors[b])
                for a, b in zip(before.input[1:], node.input[1:], strict=True)
            )
        ):
            replace(graph, node.output[0], before.input[0])
            graph.node.remove(node)
    unused(graph)


def turned(graph: Any) -> None:
    """Store matrices in multiplication order: no Transpose between codes and product."""
    tensors, makers = constants(graph), {out: node for node in graph.node for out in node.output}
    for node in [node for node in graph.node if node.op_type == "Transpose"]:
        source = makers.get(node.input[0])
        if source is None or source.input[0] not in tensors or tensors[source.input[0]].ndim != 2:
            continue
        (held,) = (tensor for tensor in graph.initializer if tensor.name == source.input[0])
        held.CopyFrom(numpy_helper.from_array(tensors[held.name].T.copy(), held.name))
        (axis,) = (attribute for attribute in source.attribute if attribute.name == "axis")
        axis.i = 1
        replace(graph, node.output[0], source.output[0])
        graph.node.remove(node)


def looked_up(graph: Any) -> None:
    """Look codes up, and decode the rows that were found, not the whole table at every call."""
    tensors, makers = constants(graph), {out: node for node in graph.node for out in node.output}
    for node in [node for node in graph.node if node.op_type == "Gather"]:
        source = makers.get(node.input[0])
        if source is None or source.op_type != "DequantizeLinear" or source.input[0] not in tensors:
            continue
        scales, zeros = (np.unique(tensors[name]) for name in source.input[1:3])
        if len(scales) != 1 or len(zeros) != 1:
            continue
        rows, stem = f"{node.output[0]}.rows", source.input[0]
        known = {f"{stem}.scale": scales[:1].reshape(()), f"{stem}.zero": zeros[:1].reshape(())}
        for name, value in known.items():
            graph.initializer.append(numpy_helper.from_array(value, name))
        place = list(graph.node).index(node)
        gather = helper.make_node("Gather", [stem, node.input[1]], [rows])
        decode = helper.make_node("DequantizeLinear", [rows, *known], [node.output[0]])
        graph.node.remove(node)
        graph.node.insert(place, gather)
        graph.node.insert(place + 1, decode)
    unused(graph)


def narrow(graph: Any, operation: Quantized) -> None:
    """Store codes in the narrowest available type."""
    kinds = {
        (True, False): TensorProto.INT4,
        (False, False): TensorProto.INT8,
        (True, True): TensorProto.UINT4,
        (False, True): TensorProto.UINT8,
    }
    tensors = constants(graph.graph)
    for node in graph.graph.node:
        layer = node.input[0].rpartition(".")[0] if node.op_type == "DequantizeLinear" else ""
        if not node.input[0].endswith(CODES) or layer not in operation.layers:
            continue
        kind = kinds[operation.bits_of(layer)[0] <= 4, operation.affine]
        for name in [node.input[0], *node.input[2:]]:
            (held,) = (tensor for tensor in graph.graph.initializer if tensor.name == name)
            held.CopyFrom(codes_tensor(name, tensors[name], kind))
    for opset in graph.opset_import:
        if opset.domain == "":
            opset.version = max(opset.version, 21)  # the first with int4


def bare_zeros(graph: Any, operation: Quantized) -> list[Any]:
    """Nodes whose zero points are zero and can be omitted.

    Not those of weights if activations are quantised: onnxruntime would not fuse the product.
    """
    tensors = constants(graph)
    return [
        node
        for node in graph.node
        if node.op_type == "DequantizeLinear"
        and node.input[0] in tensors
        and not tensors[node.input[2]].any()
        and (operation.activation_bits is None or tensors[node.input[0]].dtype == np.int32)
    ]


def constants(graph: Any) -> dict[str, np.ndarray]:
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}


def replace(graph: Any, name: str, by: str) -> None:
    """Rewire all consumers to another tensor."""
    for node in graph.node:
        for place, read in enumerate(node.input):
            if read == name:
                node.input[place] = by


def unused(graph: Any) -> None:
    """Remove unused nodes and initializers."""
    while True:
        read = {name for node in graph.node for name in node.input}
        read |= {out.name for out in graph.output}
        dead = [node for node in graph.node if not read.intersection(node.output)]
        for node in dead:
            graph.node.remove(node)
        if not dead:
            break
    for tensor in [tensor for tensor in graph.initializer if tensor.name not in read]:
        graph.initializer.remove(tensor)


def codes_tensor(name: str, codes: np.ndarray, kind: int) -> Any:
    """Integer codes as an ONNX initializer; 4-bit codes are packed two per byte, low half first."""
    signed = kind in (TensorProto.INT4, TensorProto.INT8)
    data = codes.reshape(-1).astype(np.int8 if signed else np.uint8)
    if kind in (TensorProto.INT4, TensorProto.UINT4):
        data = np.append(data, np.zeros(data.size % 2, data.dtype)).astype(np.uint8) & 0xF
        data = data[0::2] | (data[1::2] << 4)
    return helper.make_tensor(name, kind, codes.shape, data.tobytes(), raw=True)
